import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { checkRankKills } from '../support/rank-kills.ts'
import { ranksBelow, runRanks } from '../support/rank-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Runs whose state and whose messages differ. */
const runs: Record<string, Parameters<typeof writeConfig>[1]> = {
  'all weights': { team: 'adapter: full' },
  'two turns, crossed': { algorithm: 'groupSize: 2, turns: 2, terminationThreshold: null, jointMode: cross' },
  'iac with separate critics': { algorithm: 'name: iac, groupSize: 1, critic: { placement: separate }' },
  'maac, several updates a rollout, clipped': {
    algorithm: 'name: maac, groupSize: 2, updatesPerRollout: 2, clip: { low: 0.2, high: 0.2 }',
  },
  'three agents and a penalty': { algorithm: 'groupSize: 3, kl: { coefficient: 0.05 }', agents: ['a', 'b', 'c'] },
}
const settings = ['--set', 'deterministic=true', '--set', 'promptsPerStep=5', '--set', 'steps=5', '--quiet']

for (const [name, config] of Object.entries(runs))
  test.serial(`deterministic, the same bytes for one to four ranks: ${name}`, async (t) => {
    const folder = await temporaryFolder(t)
    const args = [...(await writeConfig(folder, config)), ...settings]
    let whole: Record<string, string> | undefined
    for (const ranks of [1, 2, 3, 4]) {
      const { code, stderr } = await runRanks(ranks, ['train', ...args, '--run-dir', `r${ranks}`], { cwd: folder })
      t.is(code, 0, stderr)
      whole ??= outcomeOfRun(join(folder, 'r1'))
      t.deepEqual(outcomeOfRun(join(folder, `r${ranks}`)), whole, `${ranks} ranks`)
    }
    const agents = config?.agents?.length ?? 2
    const byAgent = [...args, '--set', 'team.ranks=agents']
    for (const ranks of [agents, 2 * agents]) {
      const run = `a${ranks}`
      const { code, stderr } = await runRanks(ranks, ['train', ...byAgent, '--run-dir', run], {
        cwd: folder,
      })
      t.is(code, 0, stderr)
      t.deepEqual(outcomeOfRun(join(folder, run)), whole, `${ranks} ranks by agent`)
    }
  })

test.serial('without deterministic: the same samples, gradients within 1e-6, weights within 1e-5', async (t) => {
  const folder = await temporaryFolder(t)
  const more = ['--set', 'promptsPerStep=5', '--set', 'steps=3', '--set', 'logSamples=100', '--set', 'evalEvery=0']
  const args = [...(await writeConfig(folder, { team: 'adapter: full' })), ...more, '--quiet']
  for (const ranks of [1, 2]) {
    const { code, stderr } = await runRanks(ranks, ['train', ...args, '--run-dir', `r${ranks}`], { cwd: folder })
    t.is(code, 0, stderr)
  }
  const linesOf = (run: string, file: string) =>
    readFileSync(join(folder, run, file), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number> & { agents?: { completion: string }[] })
  const texts = (run: string) =>
    linesOf(run, 'samples.jsonl').map(({ agents }) => agents!.map((agent) => agent.completion))
  // Sums are rounded in another order, which may turn a draw; on this model and seed it does not.
  t.deepEqual(texts('r2'), texts('r1'))
  const [one, two] = [linesOf('r1', 'metrics.jsonl'), linesOf('r2', 'metrics.jsonl')]
  for (const [step, metrics] of one.entries()) {
    const [a, b] = [metrics['train/grad_norm']!, two[step]!['train/grad_norm']!]
    t.true(Math.abs(a - b) <= 1e-6 * a, `step ${step + 1}: ${a}, ${b}`)
  }
  for (const agent of ['left', 'right']) {
    const [a, b] = ['r1', 'r2'].map((run) => readTensors(join(folder, run, 'final', agent, 'model.safetensors')))
    for (const [name, values] of Object.entries(a!)) {
      const apart = Math.hypot(...values.map((value, i) => value - b![name]![i]!)) / Math.hypot(...values)
      t.true(apart <= 1e-5, `${agent}, ${name}: ${apart}`)
    }
  }
})

/** All tensors of a safetensors file of float32. */
function readTensors(file: string): Record<string, number[]> {
  const bytes = readFileSync(file)
  const begin = 8 + Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, begin).toString()) as Record<string, { data_offsets?: [number, number] }>
  return Object.fromEntries(
    Object.entries(header).flatMap(([name, { data_offsets: place }]) =>
      place === undefined
        ? []
        : [
            [
              name,
              [
                ...new Float32Array(
                  bytes.buffer.slice(bytes.byteOffset + begin + place[0], bytes.byteOffset + begin + place[1]),
                ),
              ],
            ],
          ],
    ),
  )
}

test.serial("one rank's gradient that is not finite is skipped by all, which go on", async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder)), ...settings]
  const task = join(folder, 'task.mjs')
  // Squares that no float32 holds, for one prompt: it is one rank's in each step that draws it.
  const reward = "if (item.prompt === 'item 4:') return joint[0].text < 'P' ? 1e30 : -1e30\n    return letters("
  writeFileSync(task, readFileSync(task, 'utf8').replace('return letters(', reward))
  for (const ranks of [1, 2, 3]) {
    const { code, stderr } = await runRanks(ranks, ['train', ...args, '--run-dir', `r${ranks}`], { cwd: folder })
    t.is(code, 0, stderr)
    t.regex(stderr, /not finite/)
    t.deepEqual(outcomeOfRun(join(folder, `r${ranks}`)), outcomeOfRun(join(folder, 'r1')), `${ranks} ranks`)
  }
  const byAgent = await runRanks(2, ['train', ...args, '--set', 'team.ranks=agents', '--run-dir', 'a2'], {
    cwd: folder,
  })
  t.is(byAgent.code, 0, byAgent.stderr)
  t.deepEqual(outcomeOfRun(join(folder, 'a2')), outcomeOfRun(join(folder, 'r1')), 'by agent')
  const lines = readFileSync(join(folder, 'r1/metrics.jsonl'), 'utf8').trim().split('\n')
  t.true(lines.some((line) => (JSON.parse(line) as Record<string, number>)['train/skipped_steps']! > 0))
})

test.serial('a rank that hangs, with its connections open, is named, and nobody waits for it', async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder, { team: 'adapter: full' })), '--set', 'steps=100000', '--quiet']
  const metrics = join(folder, 'run/metrics.jsonl')
  const lines = () => (existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length : 0)
  let stoppedAt = 0
  const { code, stderr } = await runRanks(2, ['train', ...args, '--run-dir', 'run'], {
    cwd: folder,
    onSpawn: async (child) => {
      while (child.exitCode === null && lines() < 4) await sleep(10)
      stoppedAt = performance.now()
      process.kill(ranksBelow(child.pid!).get(1)!, 'SIGSTOP')
    },
  })
  t.is(code, 1)
  t.regex(stderr, /rank 1 is gone: it has given no sign of life for 20 s/)
  t.true(performance.now() - stoppedAt < 100_000)
})

test.serial('killed at 20 random instants on any rank, resumed with another number of ranks', (t) =>
  checkRankKills(t, 20),
)
