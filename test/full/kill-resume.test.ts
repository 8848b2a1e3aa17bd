import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { finishRun, type Instant, type Kill, killRun, outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Teams whose state differs: adapters, float32 masters of bfloat16 weights, critics with moments of their own. */
const teams: Record<string, { team?: string; algorithm?: string }> = {
  adapters: {},
  'all weights, in bfloat16': { team: 'adapter: full, dtype: bfloat16' },
  'separate critics': { algorithm: 'name: iac, groupSize: 1, critic: { placement: separate }' },
  'one central critic, several updates a rollout': {
    algorithm: 'name: maac, groupSize: 2, updatesPerRollout: 2, clip: { low: 0.2, high: 0.2 }',
  },
}
const killsOfEach = 5

const random = (limit: number) => Math.random() * limit

/** Every other kill is aimed at a checkpoint that is being written; the others may fall anywhere. */
function randomInstant(kill: number): Instant {
  if (kill % 2 === 1) return { at: 'checkpoint', nth: 1 + Math.floor(random(2)), ms: random(12) }
  const choice = random(1)
  if (choice < 0.15) return { at: 'start', ms: random(3000) }
  if (choice < 0.3) return { at: 'folder', name: choice < 0.22 ? 'best' : 'final', ms: random(4) }
  return { at: 'line', lines: 1 + Math.floor(random(6)), ms: random(40) }
}

for (const [name, settings] of Object.entries(teams)) {
  test.serial(`killed at ${killsOfEach} random instants: ${name}`, async (t) => {
    const folder = await temporaryFolder(t)
    const args = await writeConfig(folder, settings)
    const whole = await runCli(['train', ...args, '--run-dir', 'whole', '--quiet'], { cwd: folder })
    t.is(whole.code, 0, whole.stderr)
    const outcome = outcomeOfRun(join(folder, 'whole'))
    const kills: Kill[] = []
    let runs = 1
    while (kills.length < killsOfEach) {
      const kill = await killRun(folder, args, `run-${runs}`, randomInstant(kills.length))
      t.log(`run ${runs}: ${JSON.stringify(kill)}`)
      if (kill.wasAlive) kills.push(kill)
      else t.deepEqual(outcomeOfRun(join(folder, `run-${runs++}`)), outcome)
    }
    t.true(
      kills.some(({ wasWriting }) => wasWriting),
      'no kill fell into a checkpoint that was being written',
    )
    const resumed = await finishRun(folder, args, `run-${runs}`)
    t.is(resumed.code, 0, resumed.stderr)
    t.deepEqual(outcomeOfRun(join(folder, `run-${runs}`)), outcome)
  })
}
