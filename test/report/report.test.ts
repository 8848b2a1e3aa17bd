import { createHash } from 'node:crypto'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { renderReport, reportFile, writeReport } from '../../lib/report/report.ts'
import { ReportSink } from '../../lib/report/report-sink.ts'
import type { RunWarning } from '../../lib/rl/types/reports.ts'
import { rejectsWith } from '../support/errors.ts'
import { fakeEnd, fakeSample } from '../support/fake-reports.ts'
import { fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const attack = `</script><script>alert('1')</script><img src=x onerror=alert(1)>`

test('a report holds everything and needs nothing', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'haiku'), { steps: 12, reason: 'finished' })
  const evals = [0, 12].map((step) => ({ step, 'eval/reward/mean': step / 10, 'eval/reward/stderr': 0.05 }))
  await appendFile(join(folder, 'metrics.jsonl'), `${JSON.stringify(evals[1])}\n`)
  await appendFile(join(folder, 'samples.jsonl'), `${JSON.stringify(fakeSample(12, 'eval'))}\n`)
  const html = await readFile(await writeReport(folder), 'utf8')
  for (const text of [
    '<h1>haiku</h1>',
    '>finished</span>',
    'agents: [first, second]',
    'magrpo train haiku.yaml',
    'npx magrpo@0.1.0 train config.yaml',
    'eval/reward/mean',
    '1.2 ± 0.05',
    'Held-out items, step 12',
    'second wrote &lt;b&gt;this&lt;/b&gt;',
    'Step 2: something to look at.',
  ])
    t.true(html.includes(text), text)
  t.true((html.match(/<figure/g)?.length ?? 0) >= 7)
  // Names of standards are no addresses to load.
  t.notRegex(html.replaceAll('http://www.w3.org/2000/svg', ''), /https?:|src=|@import|url\(/)
  t.notRegex(html, /NaN|undefined<|\[object/)
})

test('its policy lets run what it brings, and nothing else', async (t) => {
  const html = await renderReport(await fakeRun(join(await temporaryFolder(t), 'haiku')))
  const policy = /content-security-policy" content="([^"]*)"/.exec(html)?.[1] ?? ''
  const hash = (text: string) => createHash('sha256').update(text).digest('base64')
  const script = /<script type="module">([\s\S]*?)<\/script>/.exec(html)![1]!
  const style = /<style>([\s\S]*?)<\/style>/.exec(html)![1]!
  t.true(policy.includes(`script-src 'sha256-${hash(script)}'`))
  t.true(policy.includes(`'sha256-${hash(style)}'`))
  t.true(policy.startsWith("default-src 'none'"))
  t.notRegex(script, /^\s*(import|export) /m)
})

test('what models wrote stays text', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'haiku'))
  const row = fakeSample(6)
  row.agents[0]!.completion = attack
  await appendFile(join(folder, 'samples.jsonl'), `${JSON.stringify(row)}\n`)
  await appendFile(join(folder, 'metrics.jsonl'), `${JSON.stringify({ step: 6, [`reward/${attack}`]: 1 })}\n`)
  await writeFile(join(folder, 'config.yaml'), `name: ${JSON.stringify(attack)}\n`)
  const html = await renderReport(folder)
  t.is(html.match(/<script/g)?.length, 2)
  t.notRegex(html, /<img/)
  t.true(html.includes('&lt;/script&gt;'))
})

test('a run that did not end has a report, too', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'haiku'), { pid: process.pid })
  t.true((await renderReport(folder)).includes('>running</span>'))
})

test('a folder without a run is refused', async (t) => {
  const folder = await temporaryFolder(t)
  await rejectsWith(t, () => writeReport(folder), 'ERR_RUN', 'has no config.yaml', folder)
  const run = await fakeRun(join(folder, 'haiku'))
  await rejectsWith(t, () => writeReport(run, { comparison: folder }), 'ERR_RUN', 'no finished comparison')
  await rejectsWith(t, () => writeReport(run, { out: join(folder, 'no/where.html') }), 'ERR_RUN', 'where.html')
})

test('a finished run writes its report; trouble is a warning', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'haiku'), { reason: 'finished' })
  const warnings: RunWarning[] = []
  const onWarning = (warning: RunWarning) => void warnings.push(warning)
  await new ReportSink(folder, onWarning).onEnd({ ...fakeEnd, reason: 'failed' })
  await t.throwsAsync(readFile(join(folder, reportFile)))
  await new ReportSink(folder, onWarning).onEnd(fakeEnd)
  t.regex(await readFile(join(folder, reportFile), 'utf8'), /^<!doctype html>/)
  t.deepEqual(warnings, [])
  await new ReportSink(join(folder, 'none'), onWarning).onEnd(fakeEnd)
  t.like(warnings[0], { code: 'report', index: 3 })
})
