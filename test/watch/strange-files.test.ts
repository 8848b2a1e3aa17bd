/** Files in a run folder that are no files: nothing waits for them. */
import { execFileSync } from 'node:child_process'
import { rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { lockOwner } from '../../lib/base/file-lock.ts'
import { renderReport } from '../../lib/report/report.ts'
import { readRunInfo } from '../../lib/run/run-info.ts'
import { RunReader } from '../../lib/watch/run-reader.ts'
import { startWatch } from '../../lib/watch/watch-server.ts'
import { fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const names = ['config.yaml', 'environment.json', 'metrics.jsonl', 'timings.jsonl', 'samples.jsonl', 'result.json']

for (const [kind, make] of [
  ['a named pipe', async (path: string) => void execFileSync('mkfifo', [path])],
  ['a device', (path: string) => symlink('/dev/zero', path)],
] as const) {
  test(`${kind} in a run folder keeps neither the page nor a report waiting, and is noted`, async (t) => {
    t.timeout(60_000)
    const root = await temporaryFolder(t)
    for (const name of [...names, 'lock.json', 'run.json']) {
      const folder = await fakeRun(join(root, `run-${name}`), { reason: 'finished' })
      await rm(join(folder, name), { force: true })
      await make(join(folder, name))
      const reader = new RunReader(folder, name, name)
      await reader.refresh()
      if (names.includes(name) && name !== 'result.json')
        t.regex(reader.summary.notes.join('\n'), new RegExp(`^${name}: .*(named pipe|device)`), name)
      t.regex(await renderReport(folder), /<html/)
    }
    const server = await startWatch({ runs: [root], port: 0 })
    const { runs } = (await (await fetch(`${server.url}api/runs`)).json()) as { runs: unknown[] }
    t.is(runs.length, names.length + 2)
    await server.close()
    await t.throwsAsync(readRunInfo(join(root, 'run-run.json')), { message: /regular file/ })
    await t.throwsAsync(lockOwner(join(root, 'run-lock.json/lock.json')), { message: /regular file/ })
  })
}
