/** Rewards that abstain: their joint actions are in no baseline, gradient or divisor. */
import test, { type ExecutionContext } from 'ava'
import { iac } from '../../lib/rl/algorithms/iac.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { mareinforce } from '../../lib/rl/algorithms/mareinforce.ts'
import { marloo } from '../../lib/rl/algorithms/marloo.ts'
import { signalsOf } from '../../lib/rl/algorithms/signals.ts'
import { treeReturns } from '../../lib/rl/credit/returns.ts'
import { evaluateBackend } from '../../lib/rl/evaluation.ts'
import type { Algorithm } from '../../lib/rl/options/algorithm.ts'
import { rewardMetrics, signalMetrics } from '../../lib/rl/report/metrics.ts'
import { completionReturns, jointActions } from '../../lib/rl/rollout/joint.ts'
import type { RolloutNode } from '../../lib/rl/rollout/tree.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { StepReport } from '../../lib/rl/types/reports.ts'
import { criticGroups, trainGroups } from '../../lib/rl/update/train-groups.ts'
import { handNode } from './support/hand-nodes.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask } from './support/toy-task.ts'

/** First weight of each completion that is trained, by agent. */
function weightsOf(nodes: readonly RolloutNode[], algorithm: Algorithm): number[][] {
  const groups = trainGroups(signalsOf(nodes, algorithm), { policies: [0, 1], algorithm, maxNewTokens: 9 })
  return [0, 1].map((agent) =>
    groups
      .filter(({ group }) => group.policy === agent)
      .flatMap(({ group }) => group.completions.map(({ weights }) => weights![0]!)),
  )
}

const advantagesOf = (rewards: (number | null)[], algorithm: Algorithm) =>
  signalsOf([handNode({ rewards, groupSize: rewards.length })], algorithm)[0]!.agents[0]!.advantages

function near(t: ExecutionContext, actual: readonly (number | null)[], expected: readonly (number | null)[]): void {
  t.is(actual.length, expected.length)
  for (const [i, value] of expected.entries()) {
    if (value === null) t.is(actual[i], null)
    else t.true(Math.abs(actual[i]! - value) < 1e-7, `${actual} for ${expected}`)
  }
}

test('baselines are those of the others alone', (t) => {
  t.deepEqual(advantagesOf([1, null, 3, null, 5], magrpo({ groupSize: 5 })), [-2, null, 0, null, 2])
  t.deepEqual(advantagesOf([1, null, 3, null, 5], marloo({ groupSize: 5 })), [-3, null, 0, null, 3])
  t.deepEqual(advantagesOf([1, null, 3], mareinforce({ groupSize: 3 })), [1, null, 3])
  near(t, advantagesOf([1, null, 3], magrpo({ groupSize: 3, scaleByStd: true })), [-1, null, 1])
})

test('a group with fewer than two verdicts is skipped, unless there is no baseline', (t) => {
  t.deepEqual(advantagesOf([1, null], magrpo({ groupSize: 2 })), [null, null])
  t.deepEqual(advantagesOf([1, null], marloo({ groupSize: 2, equalRewardEps: 0 })), [null, null])
  t.deepEqual(advantagesOf([null, null], mareinforce({ groupSize: 2 })), [null, null])
  t.deepEqual(advantagesOf([1, null], mareinforce({ groupSize: 2 })), [1, null])
})

for (const [name, algorithm] of [
  ['magrpo', (groupSize: number) => magrpo({ groupSize })],
  ['marloo, per token', (groupSize: number) => marloo({ groupSize, lengthNormalization: 'mean' })],
  ['magrpo with entropy', (groupSize: number) => magrpo({ groupSize, entropyCoefficient: 0.1 })],
] as const)
  test(`${name}: a step with abstentions has the gradient of the step without those joint actions`, (t) => {
    const other = handNode({ rewards: [2, 7, 1], groupSize: 3 })
    const silent = handNode({ rewards: [null, null, null], groupSize: 3 })
    const mixed = handNode({
      rewards: [null, 4, 0, null],
      groupSize: 4,
      lengths: [
        [3, 1, 2, 5],
        [1, 2, 2, 2],
      ],
    })
    const without = handNode({
      rewards: [4, 0],
      groupSize: 2,
      lengths: [
        [1, 2],
        [2, 2],
      ],
    })
    t.deepEqual(weightsOf([other, mixed, silent], algorithm(4)), weightsOf([other, without], algorithm(4)))
  })

test('returns: what follows counts in earlier turns, a verdict that is missing does not', (t) => {
  const leaf = handNode({ turn: 2, rewards: [null, 6] })
  const empty = handNode({ turn: 2, rewards: [null, null] })
  const middle = handNode({ turn: 1, rewards: [null, 2], children: [leaf, empty] })
  const root = handNode({ rewards: [1, null], children: [middle, null] })
  const returns = treeReturns([root, middle, leaf, empty], { discount: 0.5, turns: 3, ended: 'stop' })
  t.deepEqual(returns.get(leaf), [null, 6])
  t.deepEqual(returns.get(empty), [null, null])
  t.deepEqual(returns.get(middle), [null, 2])
  // The middle counts as 0.5 * 6 and 2, mean 2.5.
  t.deepEqual(returns.get(root), [1 + 0.5 * 2.5, null])
})

test('cross: means over the cells that are there, sums on the scale of all cells', (t) => {
  const picks = jointActions('cross', 2, 2)
  t.deepEqual(completionReturns(picks, [1, null, 3, 4], 0, 2, 'mean'), [1, 3.5])
  t.deepEqual(completionReturns(picks, [1, null, 3, 4], 1, 2, 'mean'), [2, 4])
  t.deepEqual(completionReturns(picks, [1, null, 3, 4], 1, 2, 'sum'), [4, 8])
  t.deepEqual(completionReturns(picks, [null, null, 3, 4], 0, 2, 'mean'), [null, 3.5])
})

for (const type of ['v', 'q'] as const)
  test(`critics (${type}): no target where there is no verdict, divisors without it`, (t) => {
    const algorithm = iac({ groupSize: 3, critic: { type, placement: 'separate' } } as never)
    const node = handNode({ rewards: [2, null, 5], groupSize: 3, agents: 1 })
    const values = new Map([[node, [[1, 1, 1]]]])
    const signals = signalsOf([node], algorithm, { values })
    t.deepEqual(signals[0]!.agents[0]!.critic!.targets, [2, null, 5])
    t.deepEqual(
      signals[0]!.agents[0]!.advantages.map((value) => value === null),
      [false, true, false],
    )
    const completions = type === 'v' ? [{ ids: Int32Array.of(9) }] : node.samples[0]!.map(({ ids }) => ({ ids }))
    const groups = [{ policy: 1, promptIds: Int32Array.of(0), completions }]
    const [trained] = criticGroups(signals, [{ node, agents: [0], groups }], algorithm)
    const { coefficient } = algorithm.critic!
    t.deepEqual(
      trained!.group.completions.map(({ ids, valueTarget, valueWeight }) => [ids[0], valueTarget, valueWeight]),
      [
        [type === 'v' ? 9 : 0, 2, coefficient / 2],
        [type === 'v' ? 9 : 2, 5, coefficient / 2],
      ],
    )
  })

test('metrics leave abstentions out and count them', (t) => {
  const nodes = [handNode({ rewards: [1, null] }), handNode({ rewards: [3, 5] }), handNode({ rewards: [null, null] })]
  const metrics = rewardMetrics(nodes)
  t.is(metrics['reward/mean'], 3)
  t.is(metrics['reward/group_std'], 0.5)
  t.is(metrics['reward/abstained_share'], 0.5)
  t.false('reward/retries' in metrics)
  const shares = signalMetrics(signalsOf(nodes, magrpo({ groupSize: 2 })))
  t.deepEqual(shares, { 'reward/zero_variance_share': 0, 'reward/skipped_group_share': 2 / 3 })
  nodes[0]!.joints[0]!.retries = 2
  nodes[1]!.joints[0]!.retries = 1
  t.is(rewardMetrics(nodes)['reward/retries'], 3)
})

/** Abstains where the left agent writes `a`. */
const abstaining = (all = false) =>
  complementTask({
    metrics: undefined,
    reward: (_, joint) => (all || joint[0]!.text === 'a' ? null : Number(joint[1]!.text === 'b')),
  })

const setUp = () => {
  const engine = new TableEngine(2, { prompts: 2, positions: 1, tokens: 3 })
  return { engine, backend: tableBackend(engine, ['left', 'right']) }
}

test('a run: samples say null, what abstained is not trained, the rest learns', async (t) => {
  const { engine, backend } = setUp()
  const reports: StepReport[] = []
  const settings = { algorithm: magrpo({ groupSize: 8 }), optimizer: { learningRate: 1 }, steps: 60, promptsPerStep: 2 }
  for await (const report of startRun(backend, { ...settings, task: abstaining() })) reports.push(report)
  const rows = reports[0]!.samples
  const silent = rows.filter(({ agents }) => agents[0]!.completion === 'a')
  t.true(silent.length > 0 && silent.length < rows.length)
  for (const row of rows) {
    const isSilent = silent.includes(row)
    t.is(row.reward === null, isSilent)
    t.is(row.return === null, isSilent)
    t.is(row.agents[0]!.advantage === null, isSilent)
  }
  t.true(reports[0]!.metrics['reward/abstained_share']! > 0)
  t.true(engine.row(1, 0, 0).probabilities[1]! > 0.8, 'the right agent learns b')
})

test('a run without any verdict trains nothing and ends as others do', async (t) => {
  const { engine, backend } = setUp()
  const before = engine.logits.map((table) => [...table])
  const settings = { algorithm: magrpo({ groupSize: 4 }), optimizer: { learningRate: 1 }, steps: 2 }
  const run = startRun(backend, { ...settings, task: abstaining(true), evalEvery: 1 })
  const reports: StepReport[] = []
  for await (const report of run) reports.push(report)
  t.deepEqual(
    engine.logits.map((table) => [...table]),
    before,
  )
  t.is(reports[0]!.metrics['reward/abstained_share'], 1)
  t.is(reports[0]!.metrics['reward/skipped_group_share'], 1)
  t.false('reward/mean' in reports[0]!.metrics)
  t.is((await run.result).best, null)
})

test('a threshold ends no episode that has no verdict', async (t) => {
  const { backend } = setUp()
  const task = { ...abstaining(true), transition: () => ({ prompts: ['0', '0'] }) }
  const algorithm = magrpo({ groupSize: 2, turns: 2, terminationThreshold: 0 })
  const reports: StepReport[] = []
  for await (const report of startRun(backend, { task, algorithm, optimizer: { learningRate: 1 }, steps: 1 }))
    reports.push(report)
  t.true(reports[0]!.samples.some(({ turn }) => turn === 1))
})

test('evaluations leave abstentions out of mean and error, and say how many there are', async (t) => {
  const { backend } = setUp()
  const { metrics, samples, score } = await evaluateBackend(backend, { task: abstaining(), samples: 40, logSamples: 9 })
  const rewards = samples.filter(({ phase }) => phase === 'eval').map(({ reward }) => reward)
  const there = rewards.filter((reward) => reward !== null)
  t.is(rewards.length, 80)
  t.true(there.length > 0 && there.length < 80)
  t.true(Math.abs(score - there.reduce((sum, value) => sum + value, 0) / there.length) < 1e-12)
  t.is(metrics['eval/reward/abstained_share'], (80 - there.length) / 80)
  const none = await evaluateBackend(backend, { task: abstaining(true), samples: 2 })
  t.true(Number.isNaN(none.score))
  t.is(none.metrics['eval/reward/abstained_share'], 1)
})
