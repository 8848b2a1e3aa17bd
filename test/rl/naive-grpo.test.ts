/** One step of the trainer, options and all, moves a table as a naive GRPO does. */
import test from 'ava'
import { grpo } from '../../lib/rl/algorithms/grpo.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import type { AlgorithmOptions } from '../../lib/rl/options/algorithm.ts'
import { ItemOrder } from '../../lib/rl/rollout/item-order.ts'
import { rollOut } from '../../lib/rl/rollout/rollout.ts'
import type { RolloutNode } from '../../lib/rl/rollout/tree.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { StepReport } from '../../lib/rl/types/reports.ts'
import { finiteDifferences, naiveObjective } from './support/naive.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask } from './support/toy-task.ts'

const shape = { prompts: 4, positions: 3, tokens: 4 }
const learningRate = 1.5
const [items, groupSize] = [3, 5]

/** Policies 0 to 2, and 3 as a frozen reference: all different. */
function randomTables(): TableEngine {
  const engine = new TableEngine(4, shape)
  for (const [policy, logits] of engine.logits.entries()) {
    for (let i = 0; i < logits.length; i++) logits[i] = Math.sin(1 + i * (policy + 1.7))
  }
  return engine
}

const taskOf = (agents: readonly string[]) =>
  complementTask({
    agents: [...agents],
    reward: (item, joint) =>
      joint.reduce(
        (sum, { text }, agent) => sum + (agent + 1) * text.length + Number(text.startsWith('b')),
        item.prompt,
      ),
    transition: () => ({ prompts: agents.map(() => '3') }),
    defaults: { maxNewTokens: 3 },
  })

async function trained(engine: TableEngine, names: readonly string[], algorithm: ReturnType<typeof magrpo>) {
  const backend = tableBackend(engine, names, undefined, { references: names.map(() => 3) })
  const run = startRun(backend, {
    task: taskOf(names),
    algorithm,
    optimizer: { learningRate },
    steps: 1,
    promptsPerStep: items,
    shuffle: false,
    seed: 5,
  })
  const reports: StepReport[] = []
  for await (const report of run) reports.push(report)
  return reports[0]!
}

/** The samples that {@link trained} draws. */
async function sampled(engine: TableEngine, names: readonly string[], turns: number): Promise<RolloutNode[]> {
  const task = taskOf(names)
  const settings = { items: task.items.length, promptsPerStep: items, seed: 5, shuffle: false, epochs: null }
  const { nodes } = await rollOut({
    engine,
    policies: names.map((_, agent) => agent),
    task,
    items: task.items,
    chosen: new ItemOrder(settings).step(1),
    sampling: { maxNewTokens: 3 },
    groupSize,
    laterGroupSize: groupSize,
    jointMode: 'align',
    turns,
    terminationThreshold: null,
    seed: 5,
    step: 1,
    rewardConcurrency: 4,
    rewardTimeoutMs: 1000,
  })
  return nodes
}

const cases: Record<string, AlgorithmOptions> = {
  plain: {},
  'two turns, discounted': { turns: 2, discount: 0.5 },
  'std scaling': { scaleByStd: true },
  'mean over the length': { lengthNormalization: 'mean' },
  'the token limit as constant': { lengthNormalization: 'constant' },
  'a constant': { lengthNormalization: 'constant', lengthConstant: 7 },
  'truncated completions masked': { maskTruncated: true },
  'masked, mean over the length': { maskTruncated: true, lengthNormalization: 'mean' },
  'four clipped updates': { updatesPerRollout: 4, clip: { low: 0.1, high: 0.3 } },
  'two updates without ratio': { updatesPerRollout: 2, clip: null },
  'k1 in the loss': { kl: { estimator: 'k1', coefficient: 0.3, as: 'loss' } },
  'k2 in the loss': { kl: { estimator: 'k2', coefficient: 0.3, as: 'loss' } },
  'k3 in the loss': { kl: { estimator: 'k3', coefficient: 0.3, as: 'loss' } },
  entropy: { entropyCoefficient: 0.2 },
  everything: {
    turns: 2,
    scaleByStd: true,
    lengthNormalization: 'mean',
    maskTruncated: true,
    updatesPerRollout: 3,
    clip: { low: 0.2, high: 0.28 },
    kl: { estimator: 'k3', coefficient: 0.1, as: 'loss' },
    entropyCoefficient: 0.05,
  },
}

for (const [what, options] of Object.entries(cases)) {
  test(`one agent: ${what}`, async (t) => {
    const [engine, twin] = [randomTables(), randomTables()]
    const algorithm = grpo({ groupSize, ...options })
    const report = await trained(engine, ['only'], algorithm)
    const nodes = await sampled(twin, ['only'], algorithm.turns)
    t.true(nodes[0]!.samples[0]!.some(({ finish }) => finish === 'length'))
    t.true(nodes[0]!.samples[0]!.some(({ finish }) => finish === 'stop'))
    const setting = { engine: twin, policy: 0, agent: 0, algorithm, reference: 3 }
    for (let update = 0; update < algorithm.updatesPerRollout; update++) {
      const gradient = finiteDifferences(twin.logits[0]!, () => naiveObjective(nodes, setting, 3))
      t.true(Math.hypot(...gradient) > 1e-2)
      for (const [i, slope] of gradient.entries()) twin.logits[0]![i]! += learningRate * slope
    }
    const difference = Math.max(...engine.logits[0]!.map((value, i) => Math.abs(value - twin.logits[0]![i]!)))
    t.true(difference < 2e-6, `largest difference ${difference}`)
    if (options.updatesPerRollout && algorithm.clip) t.true(report.metrics['train/clipped_share']! > 0)
    t.is(report.metrics['policy/kl'] === undefined, algorithm.kl === null)
  })
}

test('three agents are moved by the same advantages, each in its own table', async (t) => {
  const names = ['a', 'b', 'c']
  const [engine, twin] = [randomTables(), randomTables()]
  const algorithm = magrpo({ groupSize })
  await trained(engine, names, algorithm)
  const nodes = await sampled(twin, names, 1)
  for (const agent of [0, 1, 2]) {
    const setting = { engine: twin, policy: agent, agent, algorithm }
    const gradient = finiteDifferences(twin.logits[agent]!, () => naiveObjective(nodes, setting, 3))
    for (const [i, slope] of gradient.entries()) {
      t.true(Math.abs(engine.logits[agent]![i]! - (twin.logits[agent]![i]! + learningRate * slope)) < 2e-6)
    }
  }
})

test('KL as a return penalty: it is taken off the return, and moves nothing else', async (t) => {
  const [engine, twin] = [randomTables(), randomTables()]
  const algorithm = grpo({ groupSize, kl: { estimator: 'k3', coefficient: 0.4 } })
  const report = await trained(engine, ['only'], algorithm)
  const nodes = await sampled(twin, ['only'], 1)
  const kls = new Map(
    nodes.map((node) => [
      node,
      node.samples[0]!.map(({ ids }) => {
        let total = 0
        for (const [position, id] of ids.entries()) {
          const [p, q] = [0, 3].map((policy) => twin.row(policy, node.promptIds[0]![0]!, position).probabilities[id]!)
          total += q! / p! - 1 - Math.log(q! / p!)
        }
        return total
      }),
    ]),
  )
  const all = [...kls.values()].flat()
  t.true(Math.abs(report.metrics['policy/kl']! - all.reduce((a, b) => a + b, 0) / all.length) < 1e-6)
  const advantages = new Map(
    nodes.map((node) => {
      const returns = node.joints.map(({ reward }, g) => reward! - 0.4 * kls.get(node)![g]!)
      const centre = returns.reduce((a, b) => a + b, 0) / returns.length
      return [node, returns.map((value) => value - centre)]
    }),
  )
  const setting = { engine: twin, policy: 0, agent: 0, algorithm, advantages }
  const gradient = finiteDifferences(twin.logits[0]!, () => naiveObjective(nodes, setting, 3))
  for (const [i, slope] of gradient.entries()) {
    t.true(Math.abs(engine.logits[0]![i]! - (twin.logits[0]![i]! + learningRate * slope)) < 2e-6)
  }
})
