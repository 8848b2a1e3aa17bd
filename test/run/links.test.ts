/** What a run writes stays in its folder: no link in it is followed, and a folder that is gone is an error. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { JsonLinesWriter } from '../../lib/base/json-lines.ts'
import { writeReport } from '../../lib/report/report.ts'
import { RunFolder } from '../../lib/run/run-folder.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { exhaust, memoryFolder, tableRun } from './support/table-run.ts'

const isRunError = { instanceOf: MagrpoError, code: 'ERR_RUN' }

for (const name of ['metrics.jsonl', 'timings.jsonl', 'samples.jsonl', 'rewards.jsonl', 'checkpoints'])
  test(`a run does not write through the link ${name}`, async (t) => {
    const root = await temporaryFolder(t)
    const outside = join(root, 'outside')
    if (name === 'checkpoints') await mkdir(outside)
    else await writeFile(outside, 'mine')
    const { run, folder } = await tableRun(join(root, 'run'))
    await symlink(outside, folder.file(name))
    const error = await t.throwsAsync(exhaust(run), isRunError)
    t.regex(error?.message ?? '', /is a link/)
    if (name === 'checkpoints') t.deepEqual(await readdir(outside), [])
    else t.is(await readFile(outside, 'utf8'), 'mine')
  })

test('files that are written whole replace a link, also one beside them', async (t) => {
  const root = await temporaryFolder(t)
  const outside = join(root, 'outside')
  await writeFile(outside, 'mine')
  const { run, folder } = await tableRun(join(root, 'run'))
  for (const name of ['result.json', 'result.json.writing', 'config.yaml', 'config.yaml.writing', 'report.html'])
    await symlink(outside, folder.file(name))
  await symlink(root, folder.file('final.writing'))
  await folder.writeConfig({ steps: 3 })
  await exhaust(run)
  await symlink(outside, folder.file('report.html.part'))
  await writeReport(folder.path)
  t.is(await readFile(outside, 'utf8'), 'mine')
  t.regex(await readFile(folder.file('result.json'), 'utf8'), /finished/)
  t.regex(await readFile(folder.file('report.html'), 'utf8'), /<html/)
})

test('a report goes where it is told to, through a link too', async (t) => {
  const root = await temporaryFolder(t)
  const { run, folder } = await tableRun(join(root, 'run'))
  await exhaust(run)
  await symlink(join(root, 'report'), join(root, 'link'))
  await writeFile(join(root, 'report'), '')
  await writeReport(folder.path, { out: join(root, 'link') })
  t.regex(await readFile(join(root, 'report'), 'utf8'), /<html/)
})

test('lines are not written to a pipe, and nobody waits for its reader', async (t) => {
  const path = join(await temporaryFolder(t), 'lines.jsonl')
  execFileSync('mkfifo', [path])
  await t.throwsAsync(JsonLinesWriter.open(path), isRunError)
})

for (const [how, vanish] of [
  ['removed', (path: string) => rm(path, { recursive: true, maxRetries: 9 })],
  ['moved', (path: string) => rename(path, `${path}-moved`)],
] as const)
  test(`a run whose folder is ${how} while it trains fails and makes nothing anew`, async (t) => {
    const path = join(await memoryFolder(t), 'run')
    const { run } = await tableRun(path)
    let steps = 0
    const work = async () => {
      for await (const { index } of run) {
        steps = index
        if (index === 4) await vanish(path)
      }
    }
    const error = await t.throwsAsync(work(), isRunError)
    t.regex(error?.message ?? '', /removed, moved or replaced|no such file/)
    t.is(steps, 4)
    await t.throwsAsync(run.result)
    t.false(existsSync(path))
  })

test('a run whose folder is removed after its last step fails too', async (t) => {
  const path = join(await memoryFolder(t), 'run')
  const { run } = await tableRun(path, { train: { steps: 4, evalEvery: 0 } })
  const work = async () => {
    for await (const { index } of run) if (index === 4) await rm(path, { recursive: true, maxRetries: 9 })
  }
  await t.throwsAsync(work(), isRunError)
  t.false(existsSync(path))
})

test('a folder that was resumed is checked like a new one', async (t) => {
  const path = join(await memoryFolder(t), 'run')
  await exhaust((await tableRun(path, { train: { steps: 4 } })).run)
  const folder = await RunFolder.resume(path)
  await rm(path, { recursive: true, maxRetries: 9 })
  await t.throwsAsync(folder.writeJson('result.json', {}), isRunError)
  await folder.release()
})
