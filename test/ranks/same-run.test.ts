import { appendFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { launchRanks, ranksBelow, runRanks } from '../support/rank-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const deterministic = 'deterministic: true\npromptsPerStep: 5\nsteps: 8\nevalSamples: 2\n'
const config = { more: deterministic.replace('promptsPerStep: 5\nsteps: 8\n', '') }
const settings = ['--set', 'promptsPerStep=5', '--set', 'steps=8']

test.serial(
  'deterministic: one, two and three ranks come to the same bytes, also when one is killed in between',
  async (t) => {
    const folder = await temporaryFolder(t)
    const args = [...(await writeConfig(folder, config)), ...settings, '--quiet']
    const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
    t.is(one.code, 0, one.stderr)
    const whole = outcomeOfRun(join(folder, 'one'))
    const two = await runRanks(2, ['train', ...args, '--run-dir', 'two'], { cwd: folder })
    t.is(two.code, 0, two.stderr)
    t.deepEqual(outcomeOfRun(join(folder, 'two')), whole)

    const killed = await runRanks(3, ['train', ...args, '--run-dir', 'three'], {
      cwd: folder,
      onSpawn: async (child) => {
        const metrics = join(folder, 'three/metrics.jsonl')
        const lines = () =>
          readFile(metrics, 'utf8').then(
            (text) => text.split('\n').length,
            () => 0,
          )
        while (child.exitCode === null && (await lines()) < 6) await sleep(10)
        const victim = ranksBelow(child.pid!).get(2)
        if (victim !== undefined) process.kill(victim, 'SIGKILL')
      },
    })
    t.is(killed.code, 1)
    t.regex(killed.stderr, /rank 2 is gone: it was ended by SIGKILL/)
    const resumed = await runRanks(2, ['resume', 'three', '--quiet'], { cwd: folder })
    t.is(resumed.code, 0, resumed.stderr)
    t.deepEqual(outcomeOfRun(join(folder, 'three')), whole)
  },
)

test.serial('a rank that is about to do something else is named, by every rank', async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder)), '--run-dir', 'run', '--quiet']
  const ends = await launchRanks(2, (rank) => ['train', ...args, '--seed', `${rank}`], { cwd: folder })
  for (const { code, stderr } of ends) {
    t.is(code, 1)
    t.regex(stderr, /Expected the same configuration and data on every rank, but seed is 1 on rank 1 and 0 on rank 0/)
  }
})

test.serial('what one rank throws ends all of them, and all say it', async (t) => {
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder)
  appendFileSync(join(folder, 'task.mjs'), "if (process.env.RANK === '1') throw new Error('no task here')\n")
  const { code, stderr } = await runRanks(2, ['train', ...args, '--run-dir', 'run', '--quiet'], { cwd: folder })
  t.is(code, 1)
  t.regex(stderr, /\[rank 1\] .*no task here/)
  t.regex(stderr, /^magrpo: .*rank 1 is gone/m)
})

test.serial('Ctrl-C at one rank stops all after the same step, and the run goes on from there', async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder, config)), ...settings, '--quiet']
  const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
  t.is(one.code, 0, one.stderr)
  const stopped = await runRanks(2, ['train', ...args, '--run-dir', 'two'], {
    cwd: folder,
    onSpawn: async (child) => {
      const metrics = join(folder, 'two/metrics.jsonl')
      const lines = () =>
        readFile(metrics, 'utf8').then(
          (text) => text.split('\n').length,
          () => 0,
        )
      while (child.exitCode === null && (await lines()) < 5) await sleep(10)
      const rank = ranksBelow(child.pid!).get(1)
      if (rank !== undefined) process.kill(rank, 'SIGINT')
    },
  })
  t.is(stopped.code, 130, stopped.stderr)
  const { reason } = JSON.parse(await readFile(join(folder, 'two/result.json'), 'utf8')) as { reason: string }
  t.is(reason, 'stopped')
  const resumed = await runRanks(3, ['resume', 'two', '--quiet'], { cwd: folder })
  t.is(resumed.code, 0, resumed.stderr)
  t.deepEqual(outcomeOfRun(join(folder, 'two')), outcomeOfRun(join(folder, 'one')))
})
