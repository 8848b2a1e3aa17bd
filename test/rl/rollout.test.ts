import test from 'ava'
import type { Engine, EngineRequest } from '../../lib/rl/backend/engine.ts'
import type { RolloutPlan } from '../../lib/rl/rollout/plan.ts'
import { rollOut } from '../../lib/rl/rollout/rollout.ts'
import { TableEngine } from './support/table-engine.ts'
import { complementTask } from './support/toy-task.ts'

function planOf(changes: Partial<RolloutPlan> = {}): RolloutPlan & { engine: TableEngine } {
  const task = complementTask()
  return {
    engine: new TableEngine(2, { prompts: 4, positions: 2, tokens: 3 }),
    policies: [0, 1],
    task,
    items: task.items,
    chosen: [
      { item: 1, slot: 0 },
      { item: 0, slot: 1 },
    ],
    sampling: { maxNewTokens: 2 },
    groupSize: 3,
    laterGroupSize: 3,
    jointMode: 'align',
    turns: 1,
    terminationThreshold: null,
    seed: 7,
    step: 1,
    rewardConcurrency: 4,
    rewardTimeoutMs: 1000,
    ...changes,
  } as RolloutPlan & { engine: TableEngine }
}

test('one batch for all items and agents, one node an item', async (t) => {
  const plan = planOf()
  const { nodes, newTokens } = await rollOut(plan)
  t.is(plan.engine.calls.generate, 1)
  t.deepEqual(
    nodes.map(({ item, slot, turn, number }) => ({ item, slot, turn, number })),
    [
      { item: 1, slot: 0, turn: 0, number: 0 },
      { item: 0, slot: 1, turn: 0, number: 0 },
    ],
  )
  t.deepEqual(nodes[0]!.prompts, ['1', '1'])
  t.is(nodes[0]!.joints.length, 3)
  t.is(
    newTokens,
    nodes.flatMap((node) => node.samples.flat()).reduce((sum, { ids }) => sum + ids.length, 0),
  )
  for (const { joints, completions } of nodes) {
    for (const { picks, reward, parts, metrics } of joints) {
      const texts = picks.map((g, agent) => completions[agent]![g]!.text)
      t.is(reward, Number(texts.join('') === 'ab' || texts.join('') === 'ba'))
      t.deepEqual(parts, { left_a: Number(texts[0] === 'a') })
      t.deepEqual(metrics, { same: Number(texts[0] === texts[1]) })
    }
  }
})

/** An engine that reports its samples last to first, and lets `between` happen while the first is still being written. */
function earlyEngine(between: (signal: AbortSignal) => Promise<void>): Engine {
  const table = new TableEngine(2, { prompts: 4, positions: 2, tokens: 3 })
  const whole = table.generate.bind(table)
  const generate: Engine['generate'] = async (requests, sampling, { signal, onSample }) => {
    const result = await whole(requests, sampling, {})
    const events = result.generations.flatMap(({ samples }, request) =>
      samples.map((value, sample) => ({ request, sample, value })),
    )
    for (const event of events.slice(1).reverse()) onSample!(event)
    await between(signal!)
    return result
  }
  return Object.assign(table, { generate })
}

for (const [jointMode, ready, all] of [
  ['align', 2, 3],
  ['cross', 6, 9],
] as const)
  test(`${jointMode}: joint actions are rewarded while others are still being written, each once`, async (t) => {
    let calls = 0
    const task = { ...complementTask(), reward: () => ++calls }
    let early = 0
    const engine = earlyEngine(async () => {
      while (calls < ready) await new Promise(setImmediate)
      early = calls
    })
    const { nodes } = await rollOut(planOf({ engine, task, jointMode, chosen: [{ item: 0, slot: 0 }] }))
    t.deepEqual([early, calls], [ready, all])
    t.deepEqual(
      nodes[0]!.joints.map(({ reward }) => reward!).sort((a, b) => a - b),
      Array.from({ length: all }, (_, index) => index + 1),
    )
    t.is(nodes[0]!.joints.find(({ picks }) => picks[0] === 0)!.reward! > ready, true)
  })

test('a reward that fails stops what is still being written', async (t) => {
  const task = {
    ...complementTask(),
    reward: () => {
      throw new Error('no verdict')
    },
  }
  const stopped = (signal: AbortSignal) =>
    new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  await t.throwsAsync(rollOut(planOf({ engine: earlyEngine(stopped), task })), {
    code: 'ERR_REWARD',
    message: /no verdict/,
  })
})

test('cross: all completions meet, each sampled once', async (t) => {
  const { nodes } = await rollOut(planOf({ jointMode: 'cross' }))
  t.is(nodes[0]!.joints.length, 9)
  t.is(nodes[0]!.samples[1]!.length, 3)
})

test('what tasks see: the text, the ids, how it ended, the sum of log-probabilities', async (t) => {
  const { nodes } = await rollOut(planOf())
  for (const [g, sample] of nodes[0]!.samples[0]!.entries()) {
    const { text, ids, finish, logProbSum } = nodes[0]!.completions[0]![g]!
    t.is(text, sample.text ?? '')
    t.is(ids, sample.ids)
    t.is(finish, sample.finish)
    t.is(
      logProbSum,
      sample.logProbs.reduce((sum, value) => sum + value, 0),
    )
  }
})

test('a sample depends on its own stream only, not on what else is in the batch', async (t) => {
  const together = await rollOut(planOf())
  const alone = await rollOut(planOf({ chosen: [{ item: 0, slot: 1 }] }))
  t.deepEqual(alone.nodes[0]!.samples, together.nodes[1]!.samples)
})

test('all random streams of a tree differ', async (t) => {
  const seen: EngineRequest[] = []
  const plan = planOf({
    turns: 3,
    task: complementTask({ transition: () => ({ prompts: ['2', '3'] }) }),
  })
  plan.engine.hooks.onGenerate = (requests) => {
    seen.push(...requests)
  }
  await rollOut(plan)
  const streams = seen.flatMap(({ stream, count }) =>
    Array.from({ length: count }, (_, g) => `${stream.agent} ${stream.prompt} ${stream.sample + g}`),
  )
  t.is(streams.length, 2 * 2 * (3 + 9 + 27))
  t.is(new Set(streams).size, streams.length)
})

test('turns: one batch a turn, prompts and history of the branch', async (t) => {
  const lengths: number[] = []
  const task = complementTask({
    transition: (item, joint, history) => {
      lengths.push(history.length)
      t.is(history.at(-1)!.completions[0]!.text, joint[0]!.text)
      t.is(history.at(-1)!.prompts[0], history.length === 1 ? String(item.prompt) : '2')
      return joint[0]!.text.startsWith('a') ? 'stop' : { prompts: ['2', '3'] }
    },
  })
  const plan = planOf({ turns: 2, task })
  const { nodes } = await rollOut(plan)
  t.is(plan.engine.calls.generate, 2)
  t.deepEqual([...new Set(lengths)], [1])
  const roots = nodes.filter(({ turn }) => turn === 0)
  const children = nodes.filter(({ turn }) => turn === 1)
  for (const root of roots) {
    for (const [j, { child, picks }] of root.joints.entries()) {
      const isStop = root.completions[0]![picks[0]!]!.text.startsWith('a')
      t.is(child === null, isStop)
      if (child === null) continue
      t.true(children.includes(child))
      t.deepEqual(child.prompts, ['2', '3'])
      t.is(child.number, j + 1)
      t.is(child.history.length, 1)
    }
  }
  t.true(children.length > 0 && children.length < 6)
})

test('a node above the threshold gets no children', async (t) => {
  const task = complementTask({
    reward: (item) => item.prompt,
    transition: () => ({ prompts: ['2', '3'] }),
  })
  const { nodes } = await rollOut(planOf({ turns: 2, task, terminationThreshold: 0.5 }))
  t.deepEqual(
    nodes.map(({ item, turn }) => [item, turn]),
    [
      [1, 0],
      [0, 0],
      [0, 1],
      [0, 1],
      [0, 1],
    ],
  )
})

test('task functions that throw or return too little are named', async (t) => {
  const bad = (changes: Parameters<typeof complementTask>[0]) =>
    rollOut(planOf({ turns: 2, task: complementTask(changes) }))
  const fail = () => {
    throw new Error('oops')
  }
  await t.throwsAsync(bad({ observe: fail }), {
    code: 'ERR_TASK',
    message: /^observe of task 'complement' threw for item 1: oops \(at .*rollout\.test\.ts:\d+:\d+\)$/,
  })
  await t.throwsAsync(bad({ observe: () => 5 as never }), {
    code: 'ERR_TASK',
    message:
      /Expected a string or a list of chat messages.* from observe of task 'complement' but received 5 for item 1 and agent 0 \(/,
  })
  await t.throwsAsync(bad({ observe: (async () => 'x') as never }), { message: /but received a promise for item 1/ })
  await t.throwsAsync(bad({ metrics: fail }), { code: 'ERR_TASK', message: /metrics .* item 1: oops/ })
  await t.throwsAsync(bad({ transition: fail }), { code: 'ERR_TASK', message: /transition .* item 1: oops/ })
  await t.throwsAsync(bad({ transition: () => ({ prompts: ['2'] }) }), {
    code: 'ERR_TASK',
    message: /Expected 'stop' or 2 prompts, one an agent, .* but received 1 prompts for item 1/,
  })
  await t.throwsAsync(bad({ transition: () => ({ prompts: ['2', 3 as never] }) }), {
    code: 'ERR_TASK',
    message: /but received number as prompt 1 for item 1/,
  })
  await t.throwsAsync(bad({ transition: () => ({ prompts: ['2', '3', '2'] }) }), { message: /but received 3 prompts/ })
})

for (const jointMode of ['align', 'cross'] as const) {
  test(`${jointMode}: teams of 1 to ${jointMode === 'align' ? 8 : 5} agents`, async (t) => {
    for (let agents = 1; agents <= (jointMode === 'align' ? 8 : 5); agents++) {
      const names = Array.from({ length: agents }, (_, agent) => `agent ${agent}`)
      const task = complementTask({
        agents: names,
        reward: (_, joint) => joint.length,
        transition: (_, joint) => ({ prompts: joint.map((__, agent) => String(agent % 4)) }),
      })
      // One policy for all: shared weights, a prompt for each role.
      const { nodes } = await rollOut(
        planOf({ task, policies: names.map(() => 0), jointMode, groupSize: 2, turns: 2, laterGroupSize: 2 }),
      )
      const joints = jointMode === 'align' ? 2 : 2 ** agents
      t.is(nodes.length, 2 * (1 + joints))
      for (const node of nodes) {
        t.is(node.joints.length, joints)
        t.true(node.joints.every(({ reward, picks }) => reward === agents && picks.length === agents))
      }
    }
  })
}
