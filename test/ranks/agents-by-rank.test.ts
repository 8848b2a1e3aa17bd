import { join } from 'node:path'
import test from 'ava'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { runRanks } from '../support/rank-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const settings = ['--set', 'deterministic=true', '--set', 'promptsPerStep=5', '--set', 'steps=5', '--quiet']

test.serial('agents by rank: two ranks, and a grid of four, come to the bytes of one', async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder, { team: 'adapter: full, ranks: agents' })), ...settings]
  const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
  t.is(one.code, 0, one.stderr)
  const whole = outcomeOfRun(join(folder, 'one'))
  for (const ranks of [2, 4]) {
    const { code, stderr } = await runRanks(ranks, ['train', ...args, '--run-dir', `r${ranks}`], { cwd: folder })
    t.is(code, 0, stderr)
    t.deepEqual(outcomeOfRun(join(folder, `r${ranks}`)), whole, `${ranks} ranks`)
  }
})
