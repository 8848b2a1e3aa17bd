/** Trees of depth 3, from rewards to each agent's token weights, computed by hand. */
import test, { type ExecutionContext } from 'ava'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { signalsOf } from '../../lib/rl/algorithms/signals.ts'
import type { RolloutNode } from '../../lib/rl/rollout/tree.ts'
import { trainGroups } from '../../lib/rl/update/train-groups.ts'
import { handNode } from './support/hand-nodes.ts'

function near(t: ExecutionContext, received: readonly number[], expected: readonly number[], what: string): void {
  t.is(received.length, expected.length, what)
  for (const [i, value] of received.entries()) t.true(Math.abs(value - expected[i]!) < 1e-6, `${what}: ${received}`)
}

/** Weights of each agent's completions at a node; none where the node was left out. */
function weightsOf(nodes: readonly RolloutNode[], algorithm: ReturnType<typeof magrpo>) {
  const signals = signalsOf(nodes, algorithm)
  const tagged = nodes.map((node, index) => ({
    ...node,
    promptIds: [Int32Array.of(index, 0), Int32Array.of(index, 1)],
  }))
  const retold = signals.map((signal, index) => ({ ...signal, node: tagged[index]! }))
  const groups = trainGroups(retold, { policies: [0, 1], algorithm, maxNewTokens: 9 })
  return (node: number, agent: number) =>
    groups
      .filter(({ group }) => group.promptIds[0] === node && group.promptIds[1] === agent)
      .flatMap(({ group }) => group.completions.map(({ weights }) => weights![0]!))
}

test('align, three turns, discount 0.5, one branch ending early', (t) => {
  const a0 = handNode({ turn: 2, rewards: [1, 3] })
  const b0 = handNode({ turn: 2, rewards: [8, 0] })
  const b1 = handNode({ turn: 2, rewards: [0, 4] })
  const a = handNode({ turn: 1, rewards: [0, 4], children: [a0, null] })
  const b = handNode({ turn: 1, rewards: [2, 2], children: [b0, b1] })
  const root = handNode({ rewards: [1, 2], children: [a, b] })
  const nodes = [root, a, b, a0, b0, b1]
  const algorithm = magrpo({ groupSize: 2, turns: 3, discount: 0.5, ended: 'stop' })
  const signals = signalsOf(nodes, algorithm)
  // a0: mean 2, so a: 0 + 2/2 and 4, mean 2.5. b0, b1: means 4 and 2, so b: 2 + 4/2 and 2 + 2/2, mean 3.5.
  const returns = [
    [2.25, 3.75],
    [1, 4],
    [4, 3],
    [1, 3],
    [8, 0],
    [0, 4],
  ]
  const advantages = [
    [-0.75, 0.75],
    [-1.5, 1.5],
    [0.5, -0.5],
    [-1, 1],
    [4, -4],
    [-2, 2],
  ]
  const divisors = [2, 4, 4, 6, 6, 6]
  const weights = weightsOf(nodes, algorithm)
  for (const [index, signal] of signals.entries()) {
    near(t, signal.returns as number[], returns[index]!, `returns of node ${index}`)
    for (const agent of [0, 1]) {
      near(t, signal.agents[agent]!.advantages as number[], advantages[index]!, `advantages of node ${index}`)
      const expected = advantages[index]!.map((value) => value / divisors[index]!)
      near(t, weights(index, agent), expected, `weights of node ${index}, agent ${agent}`)
    }
  }
})

for (const crossCredit of ['mean', 'sum'] as const) {
  test(`cross (${crossCredit}), three turns, most branches ending early`, (t) => {
    const d = handNode({ turn: 2, mode: 'cross', rewards: [1, 2, 3, 6] })
    const c = handNode({ turn: 1, mode: 'cross', rewards: [4, 0, 0, 0], children: [null, null, d, null] })
    const e = handNode({ turn: 1, mode: 'cross', rewards: [2, 2, 2, 2] })
    const root = handNode({ mode: 'cross', rewards: [0, 1, 2, 3], children: [null, c, null, e] })
    const nodes = [root, c, e, d]
    const algorithm = magrpo({ groupSize: 2, turns: 3, jointMode: 'cross', crossCredit, ended: 'stop' })
    const signals = signalsOf(nodes, algorithm)
    // d: mean 3, so c: 4, 0, 0 + 3, 0, mean 1.75; e: mean 2; so the root: 0, 1 + 1.75, 2, 3 + 2.
    near(t, signals[0]!.returns as number[], [0, 2.75, 2, 5], 'root')
    near(t, signals[1]!.returns as number[], [4, 0, 3, 0], 'c')
    const factor = crossCredit === 'sum' ? 2 : 1
    // The first agent's means at the root: (0 + 2.75)/2 and (2 + 5)/2; the second's: (0 + 2)/2 and (2.75 + 5)/2.
    const advantages = [
      [
        [-1.0625, 1.0625],
        [-1.4375, 1.4375],
      ],
      [
        [0.25, -0.25],
        [1.75, -1.75],
      ],
      [
        [0, 0],
        [0, 0],
      ],
      [
        [-1.5, 1.5],
        [-1, 1],
      ],
    ]
    const divisors = [2, 4, 4, 2]
    const weights = weightsOf(nodes, algorithm)
    for (const [index, signal] of signals.entries()) {
      for (const agent of [0, 1]) {
        const expected = advantages[index]![agent]!.map((value) => value * factor)
        near(t, signal.agents[agent]!.advantages as number[], expected, `advantages of node ${index}, agent ${agent}`)
        const own = index === 2 ? [] : expected.map((value) => value / divisors[index]!)
        near(t, weights(index, agent), own, `weights of node ${index}, agent ${agent}`)
      }
    }
    t.true(signals[2]!.agents.every(({ isEqual }) => isEqual))
  })
}
