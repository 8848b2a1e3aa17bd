import test from 'ava'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { signalsOf } from '../../lib/rl/algorithms/signals.ts'
import { rollOut } from '../../lib/rl/rollout/rollout.ts'
import type { RolloutNode } from '../../lib/rl/rollout/tree.ts'
import { trainGroups } from '../../lib/rl/update/train-groups.ts'
import { accumulate, cutIntoPieces, stepPolicies } from '../../lib/rl/update/update.ts'
import { TableEngine } from './support/table-engine.ts'
import { complementTask } from './support/toy-task.ts'

/** Settings of groups for a plain MAGRPO. */
const plain = (policies: (number | null)[]) => ({ policies, algorithm: magrpo(), maxNewTokens: 3 })

const shape = { prompts: 4, positions: 3, tokens: 4 }

/** A step's rollout with graded rewards, so that most groups differ. */
async function rolled(engine: TableEngine, jointMode: 'align' | 'cross' = 'align', turns = 1): Promise<RolloutNode[]> {
  const task = complementTask({
    reward: (item, joint) => joint[0]!.text.length + 0.3 * joint[1]!.text.length + 0.1 * item.prompt,
    transition: () => ({ prompts: ['2', '3'] }),
  })
  const chosen = Array.from({ length: 5 }, (_, slot) => ({ item: slot % 2, slot }))
  const { nodes } = await rollOut({
    engine,
    policies: [0, 1],
    task,
    items: task.items,
    chosen,
    sampling: { maxNewTokens: 3 },
    groupSize: 4,
    laterGroupSize: 4,
    jointMode,
    turns,
    terminationThreshold: null,
    seed: 3,
    step: 1,
    rewardConcurrency: 4,
    rewardTimeoutMs: 1000,
  })
  return nodes
}

function randomize(engine: TableEngine): void {
  for (const [policy, logits] of engine.logits.entries()) {
    for (let i = 0; i < logits.length; i++) logits[i] = Math.sin(1 + i * (policy + 1.7))
  }
}

/** J of equation 2 in plain words: per turn, the mean over nodes of (1/G) Σ_g A_g · log π(completion g). */
function objective(engine: TableEngine, nodes: readonly RolloutNode[], agent: number): number {
  let total = 0
  for (const turn of new Set(nodes.map((node) => node.turn))) {
    const ofTurn = nodes.filter((node) => node.turn === turn)
    for (const node of ofTurn) {
      const returns = node.joints.map((action) => branchReturn(action))
      const credited = node.samples[agent]!.map((_, g) => {
        const own = returns.filter((__, j) => node.joints[j]!.picks[agent] === g)
        return own.reduce((a, b) => a + b, 0) / own.length
      })
      const baseline = credited.reduce((a, b) => a + b, 0) / credited.length
      for (const [g, { ids }] of node.samples[agent]!.entries()) {
        let logProb = 0
        for (const [position, id] of ids.entries()) {
          logProb += Math.log(engine.row(agent, node.promptIds[agent]![0]!, position).probabilities[id]!)
        }
        total += ((credited[g]! - baseline) * logProb) / (credited.length * ofTurn.length)
      }
    }
  }
  return total
}

function branchReturn({ reward, child }: RolloutNode['joints'][number]): number {
  if (child === null) return reward!
  const later = child.joints.map(branchReturn)
  return reward! + later.reduce((a, b) => a + b, 0) / later.length
}

for (const [jointMode, turns] of [
  ['align', 1],
  ['cross', 1],
  ['align', 2],
] as const) {
  test(`${jointMode}, ${turns} turn(s): the gradient is that of the naive objective, end tokens included`, async (t) => {
    const engine = new TableEngine(2, shape)
    randomize(engine)
    const nodes = await rolled(engine, jointMode, turns)
    t.true(nodes.some((node) => node.samples[0]!.some(({ finish }) => finish === 'stop')))
    const groups = trainGroups(signalsOf(nodes, magrpo({ jointMode })), plain([0, 1]))
    await accumulate(engine, groups, { minibatches: 1 })
    for (const agent of [0, 1]) {
      const logits = engine.logits[agent]!
      for (let i = 0; i < logits.length; i++) {
        const kept = logits[i]!
        const [above, below] = [1e-5, -1e-5].map((shift) => {
          logits[i] = kept + shift
          return objective(engine, nodes, agent)
        })
        logits[i] = kept
        const expected = (above! - below!) / 2e-5
        t.true(Math.abs(engine.gradients[agent]![i]! - expected) < 1e-6, `agent ${agent}, logit ${i}`)
      }
    }
  })
}

test('minibatches give the same gradient', async (t) => {
  const engine = new TableEngine(2, shape)
  randomize(engine)
  const groups = trainGroups(signalsOf(await rolled(engine), magrpo()), plain([0, 1]))
  await accumulate(engine, groups, { minibatches: 1 })
  const whole = engine.gradients.map((gradient) => gradient.slice())
  t.true(whole.every((gradient) => Math.hypot(...gradient) > 1e-3))
  for (const minibatches of [2, 3, 7, 100]) {
    for (const gradient of engine.gradients) gradient.fill(0)
    const before = engine.calls.accumulate
    await accumulate(engine, groups, { minibatches })
    t.is(engine.calls.accumulate - before, Math.min(minibatches, groups.length))
    for (const [policy, gradient] of engine.gradients.entries()) {
      const difference = gradient.map((value, i) => value - whole[policy]![i]!)
      t.true(Math.hypot(...difference) <= 1e-6 * Math.hypot(...whole[policy]!))
    }
  }
})

test('equal rewards: nothing is computed, no policy is stepped', async (t) => {
  const engine = new TableEngine(2, shape)
  const nodes = await rolled(engine)
  for (const node of nodes) for (const action of node.joints) action.reward = 1.5
  const signals = signalsOf(nodes, magrpo())
  t.true(signals.every(({ agents }) => agents.every(({ isEqual }) => isEqual)))
  const groups = trainGroups(signals, plain([0, 1]))
  t.deepEqual(groups, [])
  t.is((await accumulate(engine, groups, { minibatches: 3 })).tokens, 0)
  t.is((await stepPolicies(engine, groups, () => ({ learningRate: 1 }))).size, 0)
  t.is(engine.calls.accumulate + engine.calls.step, 0)
})

test('skipped groups and completions still count in the divisor', async (t) => {
  const engine = new TableEngine(2, shape)
  const nodes = await rolled(engine)
  for (const [index, node] of nodes.entries()) {
    for (const [j, action] of node.joints.entries()) action.reward = index === 0 ? [0, 2, 1, 1][j]! : 0
  }
  const groups = trainGroups(signalsOf(nodes, magrpo()), plain([0, null]))
  t.is(groups.length, 1)
  t.deepEqual(
    groups[0]!.group.completions.map(({ weights }) => weights![0]),
    [Math.fround(-1 / (4 * 5)), Math.fround(1 / (4 * 5))],
  )
})

test('agents that share a policy add to the same gradient and step it once', async (t) => {
  const engine = new TableEngine(2, shape)
  const nodes = await rolled(engine)
  const groups = trainGroups(signalsOf(nodes, magrpo()), plain([1, 1]))
  const results = await stepPolicies(engine, groups, () => ({ learningRate: 1 }))
  t.deepEqual([...results.keys()], [1])
  t.is(engine.calls.step, 1)
})

test("the largest difference between the sampler's and the trainer's log-probabilities is seen", async (t) => {
  const engine = new TableEngine(2, shape)
  const groups = trainGroups(signalsOf(await rolled(engine), magrpo()), plain([0, 1]))
  t.is((await accumulate(engine, groups, { minibatches: 1 })).logProbDifferenceMax, 0)
  engine.scoreShift = -0.25
  const { logProbDifferenceMax } = await accumulate(engine, groups, { minibatches: 1 })
  t.true(Math.abs(logProbDifferenceMax - 0.25) < 1e-6)
})

test('pieces keep the order, are never empty, and differ by one at most', (t) => {
  t.deepEqual(cutIntoPieces([1, 2, 3, 4, 5], 2), [
    [1, 2],
    [3, 4, 5],
  ])
  t.deepEqual(cutIntoPieces([1, 2], 5), [[1], [2]])
  t.deepEqual(cutIntoPieces([], 3), [])
})
