import test, { type ExecutionContext } from 'ava'
import { iac } from '../../lib/rl/algorithms/iac.ts'
import { maac } from '../../lib/rl/algorithms/maac.ts'
import { signalsOf } from '../../lib/rl/algorithms/signals.ts'
import { centralText, criticInputs } from '../../lib/rl/credit/critic.ts'
import type { ActorCriticOptions } from '../../lib/rl/options/algorithm.ts'
import { ItemOrder } from '../../lib/rl/rollout/item-order.ts'
import { rollOut } from '../../lib/rl/rollout/rollout.ts'
import type { RolloutNode } from '../../lib/rl/rollout/tree.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { StepReport } from '../../lib/rl/types/reports.ts'
import { handNode } from './support/hand-nodes.ts'
import { finiteDifferences, naiveObjective } from './support/naive.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask } from './support/toy-task.ts'

const near = (t: ExecutionContext, received: number, expected: number, what: string) =>
  t.true(Math.abs(received - expected) < 2e-6, `${what}: ${received} for ${expected}`)

test('targets and advantages: worked numbers over three turns, the last one ending early', (t) => {
  const last = handNode({ turn: 2, groupSize: 1, rewards: [4] })
  const middle = handNode({ turn: 1, groupSize: 1, rewards: [2], children: [last] })
  const root = handNode({ groupSize: 1, rewards: [1], children: [middle] })
  const early = handNode({ groupSize: 1, rewards: [5] })
  const nodes = [root, early, middle, last]
  const own = [
    [0.5, 10],
    [3, 0],
    [-1, 0],
    [2, 0],
  ]
  const values = new Map(nodes.map((node, i) => [node, own[i]!.map((value) => [value])]))
  const algorithm = iac({ turns: 3, discount: 0.5, ended: 'stop', scaleByStd: false })
  const first = signalsOf(nodes, algorithm, { values }).map(({ agents }) => agents[0]!)
  // 1 + 0.5·(-1); 5; 2 + 0.5·2; 4.
  t.deepEqual(
    first.map(({ critic }) => critic!.targets[0]),
    [0.5, 5, 3, 4],
  )
  t.deepEqual(
    first.map(({ advantages }) => advantages[0]),
    [0, 2, 4, 2],
  )
  // Scaled over both nodes of turn 1; the later turns have a batch of one each, which is left as it is.
  const scaled = signalsOf(nodes, iac({ turns: 3, discount: 0.5, ended: 'stop' }), { values }).map(
    ({ agents }) => agents[0]!,
  )
  t.deepEqual(
    scaled.map(({ advantages }) => advantages[0]),
    [-1, 1, 4, 2],
  )
  const absorbing = iac({ turns: 3, discount: 0.5, scaleByStd: false })
  const absorbed = signalsOf(nodes, absorbing, { values }).map(({ agents }) => agents[0]!.critic!.targets[0])
  // The second ended two turns early: 5 + 5/2 + 5/4.
  t.deepEqual(absorbed, [0.5, 8.75, 3, 4])
})

test('an update batch whose advantages are equal has no signal, however small the rounding', (t) => {
  const nodes = [
    handNode({ agents: 1, groupSize: 1, rewards: [1] }),
    handNode({ agents: 1, groupSize: 1, rewards: [1 + 1e-9] }),
  ]
  const values = new Map(nodes.map((node) => [node, [[0]]]))
  for (const { agents } of signalsOf(nodes, iac(), { values })) {
    t.deepEqual(agents[0]!.advantages, [0])
    t.true(agents[0]!.isEqual)
  }
})

const names = ['left', 'right']
const shape = { prompts: 4, positions: 2, tokens: 3 }
const [items, learningRate] = [3, 0.4]

/** Policies 0 and 1 of the agents, 2 and 3 for critics; values at odds with the rewards. */
function randomTables(): TableEngine {
  const engine = new TableEngine(4, shape)
  for (const [policy, logits] of engine.logits.entries()) {
    for (const i of logits.keys()) logits[i] = Math.sin(1 + i * (policy + 1.7))
  }
  return engine
}

const task = complementTask({
  reward: (item, joint) =>
    joint[0]!.text.length + 2 * joint[1]!.text.length + Number(joint[0]!.text[0] === 'b') + item.prompt,
  transition: () => ({ prompts: ['2', '3'] }),
  defaults: { maxNewTokens: 2 },
})

const settings = { promptsPerStep: items, shuffle: false, seed: 5 }

async function sampled(engine: TableEngine, groupSize: number, turns: number): Promise<RolloutNode[]> {
  const { nodes } = await rollOut({
    engine,
    policies: [0, 1],
    task,
    items: task.items,
    chosen: new ItemOrder({ items: task.items.length, epochs: null, ...settings }).step(1),
    sampling: { maxNewTokens: 2 },
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

/** What a critic reads, as the table engine's values are kept by it; in plain words. */
function readBy(node: RolloutNode, agent: number, g: number, name: string, type: string): string {
  const { ids } = node.completions[agent]![g]!
  if (name === 'iac') return type === 'v' ? (node.prompts[agent] as string) : `${node.prompts[agent]}:${ids.join(',')}`
  const prompts = `[Agent 1]\n${node.prompts[0]}\n\n[Agent 2]\n${node.prompts[1]}`
  if (type === 'v') return prompts
  const answers = [0, 1].map((other) => `[Answer of agent ${other + 1}]\n${node.completions[other]![g]!.text}`)
  return `${prompts}\n\n[Joint action]\n\n${answers.join('\n\n')}`
}

for (const [name, make, placement, type, groupSize, turns] of [
  ['iac', iac, 'shared', 'v', 3, 1],
  ['iac', iac, 'shared', 'q', 1, 2],
  ['iac', iac, 'separate', 'v', 1, 2],
  ['iac', iac, 'separate', 'q', 3, 1],
  ['maac', maac, 'separate', 'v', 1, 2],
  ['maac', maac, 'separate', 'q', 3, 1],
] as const) {
  for (const updatesPerRollout of [1, 3]) {
    test(`${name}, ${placement}, ${type}, ${turns} turn(s), ${updatesPerRollout} update(s): a naive computation`, async (t) => {
      const options: ActorCriticOptions = {
        groupSize,
        turns,
        discount: 0.9,
        updatesPerRollout,
        critic: { placement, type, learningRate: placement === 'separate' ? 0.7 : null },
      }
      const algorithm = make(options)
      const [engine, twin] = [randomTables(), randomTables()]
      const criticOf = (agent: number) => (name === 'maac' ? 2 : placement === 'shared' ? agent : agent + 2)
      const backend = tableBackend(engine, names, undefined, {
        critics: names.map((_, agent) => criticOf(agent)),
        sharesTokenizer: name === 'iac',
      })
      const nodes = await sampled(twin, groupSize, turns)
      // Values of the beginning: by the order in which they are first read, the same in both engines.
      const keys = [
        ...new Set(
          nodes.flatMap((node) =>
            names.flatMap((__, agent) => node.samples[agent]!.map((___, g) => readBy(node, agent, g, name, type))),
          ),
        ),
      ]
      const initial = (key: string) => Math.cos(7 * keys.indexOf(key))
      const table = names.map(() => new Map<string, number>())
      const tableOf = (agent: number) => table[name === 'maac' ? 0 : agent]!
      for (const [agent] of names.entries()) {
        for (const key of keys) {
          tableOf(agent).set(key, initial(key))
          const place = name === 'maac' ? String(engine.encode(2, key)[0]) : key
          engine.values[criticOf(agent)]!.set(place, initial(key))
        }
      }

      const reports: StepReport[] = []
      const run = startRun(backend, { task, algorithm, optimizer: { learningRate }, steps: 1, ...settings })
      for await (const report of run) reports.push(report)

      const old = (agent: number, node: RolloutNode, g: number) => initial(readBy(node, agent, g, name, type))
      const samples = names.map((_, agent) =>
        nodes.flatMap((node) =>
          node.joints.map(({ reward, child }, g) => {
            const target = child === null ? reward! : reward! + 0.9 * old(agent, child, 0)
            return { node, g, turn: node.turn, target, advantage: target - old(agent, node, g) }
          }),
        ),
      )
      const squares = samples.flat().map(({ advantage }) => advantage ** 2)
      near(t, reports[0]!.metrics['critic/loss']!, squares.reduce((a, b) => a + b, 0) / squares.length, 'critic/loss')
      for (const [agent] of names.entries()) {
        const advantages = new Map(nodes.map((node) => [node, new Array<number>(groupSize).fill(0)]))
        for (let turn = 0; turn < turns; turn++) {
          const batch = samples[agent]!.filter((sample) => sample.turn === turn)
          const centre = batch.reduce((sum, { advantage }) => sum + advantage, 0) / batch.length
          const variance = batch.reduce((sum, { advantage }) => sum + (advantage - centre) ** 2, 0) / batch.length
          for (const { node, g, advantage } of batch)
            advantages.get(node)![g] = (advantage - centre) / Math.sqrt(variance)
        }
        const setting = { engine: twin, policy: agent, agent, algorithm, advantages }
        for (let update = 0; update < updatesPerRollout; update++) {
          const gradient = finiteDifferences(twin.logits[agent]!, () => naiveObjective(nodes, setting, 2))
          for (const [i, slope] of gradient.entries()) twin.logits[agent]![i]! += learningRate * slope
        }
        for (const [i, value] of twin.logits[agent]!.entries()) near(t, engine.logits[agent]![i]!, value, `logit ${i}`)
      }

      // Value loss: 0.6 · mean (target - V)², clipped for a shared head; by finite differences over each entry.
      for (const agent of name === 'maac' ? [0] : [0, 1]) {
        const values = tableOf(agent)
        const clip = placement === 'shared' ? 0.2 : null
        const loss = () => {
          let total = 0
          for (let turn = 0; turn < turns; turn++) {
            const batch = samples[agent]!.filter((sample) => sample.turn === turn)
            for (const { node, g, target } of batch) {
              const before = old(agent, node, g)
              const value = values.get(readBy(node, agent, g, name, type))!
              const clamped = before + Math.min(Math.max(value - before, -(clip ?? 1e9)), clip ?? 1e9)
              total += (0.6 * Math.max((target - value) ** 2, (target - clamped) ** 2)) / batch.length
            }
          }
          return total
        }
        let moved = 0
        for (let update = 0; update < updatesPerRollout; update++) {
          const slopes = new Map<string, number>()
          for (const [key, kept] of values) {
            const [above, below] = [1e-5, -1e-5].map((shift) => {
              values.set(key, kept + shift)
              return loss()
            })
            values.set(key, kept)
            slopes.set(key, (above! - below!) / 2e-5)
          }
          const rate = placement === 'shared' ? learningRate : 0.7
          for (const [key, slope] of slopes) values.set(key, values.get(key)! - rate * slope)
          moved += Math.max(...[...slopes.values()].map(Math.abs))
        }
        t.true(moved > 0.1)
        const policy = criticOf(agent)
        for (const [key, value] of values) {
          const place = name === 'maac' ? String(engine.encode(2, key)[0]) : key
          near(t, engine.values[policy]!.get(place)!, value, `value of ${key}`)
        }
      }
    })
  }
}

test('a central critic reads all prompts under their numbers, type q the answers too', (t) => {
  const node = handNode({ rewards: [0, 0], prompts: ['write f', 'write g'] })
  t.is(centralText(node, null), '[Agent 1]\nwrite f\n\n[Agent 2]\nwrite g')
  t.is(
    centralText(node, 1),
    '[Agent 1]\nwrite f\n\n[Agent 2]\nwrite g\n\n[Joint action]\n\n[Answer of agent 1]\nb\n\n[Answer of agent 2]\nb',
  )
  node.prompts[1] = [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'write g' },
  ] as never
  t.is(centralText(node, null), '[Agent 1]\nwrite f\n\n[Agent 2]\nsystem: be brief\nuser: write g')
})

test('a critic with another tokenizer is given text', (t) => {
  const node = handNode({ rewards: [0, 0], prompts: ['write f', 'write g'] })
  const read: string[] = []
  const engine = {
    encode: (policy: number, text: unknown) => {
      read.push(`${policy}: ${text}`)
      return Int32Array.of(1)
    },
  }
  const critics = [
    { policy: 5, sharesTokenizer: false },
    { policy: 6, sharesTokenizer: true },
  ]
  for (const type of ['v', 'q'] as const) {
    const inputs = criticInputs(engine, [node], critics, { type, isCentral: false })
    t.is(inputs[0]!.groups.length, type === 'v' ? 1 : 2)
    t.is(inputs[1]!.groups.length, 1)
    t.is(inputs[1]!.groups[0]!.promptIds, node.promptIds[1]!)
  }
  t.deepEqual(read, ['5: write f', '5: write fa', '5: write fb'])
})

for (const [what, algorithm, critics, sharesTokenizer] of [
  ['iac, shared head', iac({ groupSize: 4, critic: { placement: 'shared' } }), [0, 1], true],
  ['iac, own critics', iac({ groupSize: 4 }), [2, 3], true],
  ['maac', maac({ groupSize: 4, critic: { type: 'v' } }), [2, 2], false],
] as const) {
  test(`${what}: two agents that earn nothing alone learn to cooperate`, async (t) => {
    const engine = new TableEngine(4, { prompts: 2, positions: 1, tokens: 4 })
    const backend = tableBackend(engine, names, undefined, { critics: [...critics], sharesTokenizer })
    const rewards: number[] = []
    const run = startRun(backend, {
      task: complementTask(),
      algorithm,
      optimizer: { learningRate: 0.5 },
      steps: 150,
      promptsPerStep: 4,
      seed: 2,
    })
    for await (const { metrics } of run) rewards.push(metrics['reward/mean']!)
    const late = rewards.slice(-20).reduce((a, b) => a + b, 0) / 20
    t.true(rewards[0]! < 0.5)
    t.true(late > 0.9, `reward ${late}`)
  })
}

test('a frozen agent has no critic and does not learn', async (t) => {
  const engine = randomTables()
  const backend = tableBackend(engine, names, undefined, { critics: [2, 3] })
  backend.agents[1]!.kind = 'base'
  backend.auxiliary.prepare = async () => ({
    references: [null, null],
    critics: [{ policy: 2, sharesTokenizer: true }, null],
  })
  const before = engine.logits.map((logits) => logits.slice())
  const run = startRun(backend, {
    task,
    algorithm: iac({ groupSize: 2 }),
    optimizer: { learningRate },
    steps: 1,
    ...settings,
  })
  for await (const { metrics } of run) {
    t.is(metrics['critic/loss'], metrics['critic/loss/left'])
    t.is(metrics['critic/loss/right'], undefined)
  }
  t.notDeepEqual(engine.logits[0], before[0])
  t.deepEqual(engine.logits[1], before[1])
})
