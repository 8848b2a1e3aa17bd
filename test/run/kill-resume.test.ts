import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { finishRun, firstDifferences, type Instant, killRun, outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const callsIn = async (folder: string) => (await readFile(join(folder, 'calls.txt'), 'utf8')).split('\n').length - 1

test('a run that is killed three times ends with the bytes of one that is not, and no verdict is asked for twice', async (t) => {
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder)
  const whole = await runCli(['train', ...args, '--run-dir', 'whole', '--quiet'], { cwd: folder })
  t.is(whole.code, 0, whole.stderr)
  const calls = await callsIn(folder)
  await writeFile(join(folder, 'calls.txt'), '')
  const instants: Instant[] = [
    { at: 'line', lines: 3, ms: Math.random() * 5 },
    { at: 'checkpoint', nth: 2, ms: Math.random() * 5 },
    { at: 'line', lines: 9, ms: Math.random() * 20 },
  ]
  for (const instant of instants) t.log(JSON.stringify(await killRun(folder, args, 'run', instant)))
  t.true(existsSync(join(folder, 'run/lock.json')))
  const resumed = await finishRun(folder, args, 'run')
  t.is(resumed.code, 0, resumed.stderr)
  for (const text of firstDifferences(join(folder, 'run'), join(folder, 'whole'))) t.log(text)
  t.deepEqual(outcomeOfRun(join(folder, 'run')), outcomeOfRun(join(folder, 'whole')))
  // A call that was under way when the process was killed was never answered.
  const asked = await callsIn(folder)
  t.true(asked >= calls && asked <= calls + 3 * 16, `${asked} calls instead of ${calls}`)

  const again = await runCli(['resume', 'run'], { cwd: folder })
  t.is(again.code, 0, again.stderr)
  t.regex(again.stdout, /run is finished: 30 steps, none left/)
})

test('Ctrl-C writes a checkpoint of the last step; resume goes on right there, from another folder too', async (t) => {
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder)
  const whole = await runCli(['train', ...args, '--run-dir', 'whole', '--quiet'], { cwd: folder })
  t.is(whole.code, 0, whole.stderr)
  const metrics = join(folder, 'run/metrics.jsonl')
  const stopped = await runCli(['train', ...args, '--run-dir', 'run', '--checkpoint-every', '0'], {
    cwd: folder,
    onSpawn: async (child) => {
      const lines = async () => (existsSync(metrics) ? (await readFile(metrics, 'utf8')).split('\n').length : 0)
      while (child.exitCode === null && (await lines()) < 6) await new Promise((resolve) => setTimeout(resolve, 5))
      child.kill('SIGINT')
    },
  })
  t.is(stopped.code, 130, stopped.stderr)
  t.regex(stopped.stderr, /go on with: magrpo resume run/)
  const { steps } = JSON.parse(await readFile(join(folder, 'run/result.json'), 'utf8')) as { steps: number }
  t.true(existsSync(join(folder, `run/checkpoints/step-${steps}/manifest.json`)))
  const resumed = await runCli(['resume', join(folder, 'run'), '--json'])
  t.is(resumed.code, 0, resumed.stderr)
  const first = resumed.json()[0] as { event: string; step: number }
  // A run that was stopped just before an evaluation has that first.
  t.is(first.step, first.event === 'eval' ? steps : steps + 1)
  for (const text of firstDifferences(join(folder, 'run'), join(folder, 'whole'))) t.log(text)
  t.deepEqual(outcomeOfRun(join(folder, 'run')), outcomeOfRun(join(folder, 'whole')))
})

test('Ctrl-C twice, while a checkpoint is written too, damages nothing', async (t) => {
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder)
  const whole = await runCli(['train', ...args, '--run-dir', 'whole', '--quiet'], { cwd: folder })
  t.is(whole.code, 0, whole.stderr)
  for (const instant of [
    { at: 'checkpoint', nth: 2, ms: 0 },
    { at: 'line', lines: 4, ms: Math.random() * 10 },
  ] as Instant[])
    t.log(JSON.stringify(await killRun(folder, args, 'run', instant, 'Ctrl-C twice')))
  const resumed = await finishRun(folder, args, 'run')
  t.is(resumed.code, 0, resumed.stderr)
  for (const text of firstDifferences(join(folder, 'run'), join(folder, 'whole'))) t.log(text)
  t.deepEqual(outcomeOfRun(join(folder, 'run')), outcomeOfRun(join(folder, 'whole')))
})

test('two processes on one run folder: the second one says who works on it', async (t) => {
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder)
  const seen = join(folder, 'run/metrics.jsonl')
  let second = ''
  await runCli(['train', ...args, '--run-dir', 'run', '--steps', '100000', '--quiet'], {
    cwd: folder,
    onSpawn: async (child) => {
      while (child.exitCode === null && !existsSync(seen)) await new Promise((resolve) => setTimeout(resolve, 20))
      const result = await runCli(['resume', 'run'], { cwd: folder })
      t.is(result.code, 1)
      second = result.stderr
      t.regex(second, new RegExp(`process ${child.pid} on .*, since 20`))
      t.regex(second, /code: ERR_RUN_LOCKED/)
      child.kill('SIGKILL')
    },
  })
  t.not(second, '')
})
