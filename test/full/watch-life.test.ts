/** A real run from its first step over SIGKILL to its end, as the live page and TensorBoard see it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { RunReader } from '../../lib/watch/run-reader.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { referencePython, runReference } from '../support/reference-python.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

function magrpo(...args: string[]): ChildProcess {
  const script = join(repositoryDir, 'test/support/run-cli.ts')
  const options = [`--import=${import.meta.resolve('tsx')}`, script, ...args, '--quiet']
  return spawn(process.execPath, options, { cwd: repositoryDir, stdio: 'ignore' })
}

test.serial('a run lives, is killed, goes on and finishes', async (t) => {
  const folder = join(await temporaryFolder(t), 'run')
  const settings = [
    '--steps',
    '10',
    '--checkpoint-every',
    '4',
    '--set',
    'evalEvery=0',
    '--set',
    'trackers=[tensorboard]',
  ]
  const reader = new RunReader(folder, 'run', 'run')
  const first = magrpo('train', 'examples/mini-code.yaml', '--run-dir', folder, ...settings)
  t.teardown(() => first.kill('SIGKILL'))
  const exited = once(first, 'exit')
  while (reader.summary.done < 6 && first.exitCode === null) {
    await delay(20)
    await reader.refresh()
  }
  t.is(reader.summary.status, 'running')
  first.kill('SIGKILL')
  await exited
  await reader.refresh()
  t.is(reader.summary.status, 'dead')
  t.regex(reader.summary.reason, /process \d+ is gone/)

  const second = magrpo('resume', folder)
  t.teardown(() => second.kill('SIGKILL'))
  const seen = new Set<string>()
  while (second.exitCode === null && second.signalCode === null) {
    await delay(20)
    await reader.refresh()
    seen.add(reader.summary.status)
  }
  t.is(second.exitCode, 0)
  await reader.refresh()
  t.true(seen.has('running'))
  t.like(reader.summary, { status: 'finished', done: 10, notes: [] })
  const steps = Array.from({ length: 10 }, (_, index) => index + 1)
  for (const name of ['reward/mean', 'time/step_s']) t.deepEqual(reader.series(name, 100)?.step, steps)

  const python = await referencePython(t)
  if (python === undefined) return
  const [found] = (await runReference(python, 'read_events.py', [folder], [])) as [
    { values: Record<string, [number, number][]> },
  ]
  t.deepEqual(
    found.values['reward/mean'],
    reader.series('reward/mean', 100)!.value.map((value, index) => [index + 1, Math.fround(value)]),
  )
})
