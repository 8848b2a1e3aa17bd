import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { Team } from '../../lib/rl/team/team.ts'
import { teamColumns } from '../../lib/rl/team/team-columns.ts'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { launchRanks, runRanks } from '../support/rank-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const settings = ['--set', 'deterministic=true', '--set', 'promptsPerStep=5', '--quiet']
const config = { team: 'adapter: full, ranks: agents' }

test.serial('agents by rank: two ranks, and a grid of four, come to the bytes of one', async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder, config)), ...settings, '--set', 'steps=5']
  const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
  t.is(one.code, 0, one.stderr)
  const whole = outcomeOfRun(join(folder, 'one'))
  for (const ranks of [2, 4]) {
    const { code, stderr } = await runRanks(ranks, ['train', ...args, '--run-dir', `r${ranks}`], { cwd: folder })
    t.is(code, 0, stderr)
    t.deepEqual(outcomeOfRun(join(folder, `r${ranks}`)), whole, `${ranks} ranks`)
  }
})

test.serial(
  'agents by rank: a rank that does not see the run folder sends its files, and gets them back',
  async (t) => {
    const [folder, elsewhere] = [await temporaryFolder(t), await temporaryFolder(t)]
    const args = [...(await writeConfig(folder, config)), ...settings]
    for (const name of await readdir(folder)) await cp(join(folder, name), join(elsewhere, name))
    const one = await runRanks(1, ['train', ...args, '--set', 'steps=8', '--run-dir', 'one'], { cwd: folder })
    t.is(one.code, 0, one.stderr)
    // Rank 1 has a folder of the same path, which is another one.
    const apart = (rank: number) => ({ cwd: rank === 0 ? folder : elsewhere })
    await mkdir(join(elsewhere, 'two'))
    const begin = ['train', ...args, '--set', 'steps=8', '--run-dir', 'two']
    const metrics = join(folder, 'two/metrics.jsonl')
    const lines = () => (existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length : 0)
    const stopped = await launchRanks(
      2,
      () => begin,
      {},
      (rank) => ({
        ...apart(rank),
        onSpawn: async (child) => {
          while (rank === 1 && child.exitCode === null && lines() < 5) await sleep(10)
          if (rank === 1) child.kill('SIGINT')
        },
      }),
    )
    t.deepEqual(
      stopped.map(({ code }) => code),
      [0, 130],
      stopped[0]!.stderr,
    )
    const resumed = await launchRanks(2, () => ['resume', 'two', '--quiet'], {}, apart)
    for (const { code, stderr } of resumed) t.is(code, 0, stderr)
    t.deepEqual(outcomeOfRun(join(folder, 'two')), outcomeOfRun(join(folder, 'one')))
    t.deepEqual(await readdir(join(elsewhere, 'two')), [])
  },
)

test('a model of another rank has shape and tokenizer, and no weights', async (t) => {
  const folder = tinyModel({ tokenizer: true })
  await using here = await Model.load(folder, { dtype: 'bfloat16' })
  await using model = await Model.load(folder, { dtype: 'bfloat16', weights: false })
  t.false(model.isHere)
  t.is(model.device, 'meta')
  t.deepEqual(model.tokenizer!.encode('abc'), here.tokenizer!.encode('abc'))
  await using whole = await Policy.full(model)
  await using reference = await Policy.full(here)
  t.is(whole.parameterCount, reference.parameterCount)
  await whole.attachValueHead()
  const [left, right] = [await Policy.lora(here), await Policy.lora(model)]
  await using team = await Team.of(
    [
      { name: 'left', policy: left },
      { name: 'right', policy: right },
    ],
    { columns: [0, 1] },
  )
  t.deepEqual([team.columns, team.columnOf(left), team.columnOf(right)], [2, 0, 1])
  const saved = await temporaryFolder(t)
  await team.save(saved)
  t.deepEqual(await readdir(saved), ['left'])
  await t.throwsAsync(() => Team.of([{ name: 'left', policy: left }], { columns: [1] }), { code: 'ERR_ARGUMENT' })
})

test('agents are spread over as many processes as they divide', (t) => {
  const columnsOf = (agents: number, rank: number, size: number) =>
    teamColumns({ ranks: 'agents' }, agents, { rank, size })
  t.deepEqual(columnsOf(2, 1, 2), { agents: [0, 1], own: 1 })
  t.deepEqual(columnsOf(2, 1, 4), { agents: [0, 1], own: 0 })
  t.deepEqual(columnsOf(2, 2, 4), { agents: [0, 1], own: 1 })
  t.deepEqual(columnsOf(4, 1, 2), { agents: [0, 0, 1, 1], own: 1 })
  t.deepEqual(columnsOf(3, 0, 1), { agents: [0, 0, 0], own: 0 })
  t.deepEqual(teamColumns({ ranks: 'data' }, 2, { rank: 1, size: 2 }), { agents: [0, 0], own: 0 })
  const wrong = t.throws(() => columnsOf(2, 0, 3), { instanceOf: ConfigError })
  t.regex(wrong!.message, /team\.ranks: expected as many processes as there are agents \(2\).*but there are 3/)
  t.throws(() => teamColumns({ ranks: 'agents', sharedWeights: true }, 2, { rank: 0, size: 2 }), {
    message: /weights of their own/,
  })
})
