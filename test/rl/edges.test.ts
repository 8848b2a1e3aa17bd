/** Runs at the edges of what can be asked for: one sample, one token, nothing to say, no room left. */
import test, { type ExecutionContext } from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { mareinforce } from '../../lib/rl/algorithms/mareinforce.ts'
import { Team } from '../../lib/rl/team/team.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import type { StepReport } from '../../lib/rl/types/reports.ts'
import { train } from '../../lib/session/train.ts'
import type { Joint } from '../../lib/tasks/task/completion.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import { policyTensors } from '../support/native-golden.ts'
import { nativeOf } from '../support/open-model.ts'
import { tinyModel } from '../support/tiny-model.ts'

const contextLength = 32
const agents = ['left', 'right']

async function openTeam(t: ExecutionContext): Promise<Team> {
  loadAddon().setThreads(1)
  const folder = tinyModel({ tokenizer: true, config: { max_position_embeddings: contextLength } })
  const model = await Model.load(folder, { device: 'cpu', dtype: 'float32' })
  t.teardown(() => model.dispose())
  return Team.adapters(model, agents, { rank: 2 })
}

const everyId = Array.from({ length: 128 }, (_, id) => id)

interface Asked {
  prompt?: string
  /** Of all items, instead of one. */
  prompts?: string[]
  heldOut?: string[]
  seen?: Joint[]
}

async function run(
  team: Team,
  { prompt = 'abc', prompts = [prompt], heldOut = [], seen = [], ...options }: Asked & Partial<TrainOptions<string>>,
): Promise<StepReport[]> {
  const task = defineTask({
    name: 'edges',
    agents,
    items: prompts,
    heldOut,
    observe: (item) => item,
    reward: (_item: string, joint) => {
      seen.push(joint)
      return seen.length % 2
    },
  })
  const reports: StepReport[] = []
  const base = { team, task, optimizer: { learningRate: 1e-3 }, steps: 2, sampling: { maxNewTokens: 4, stopIds: [] } }
  for await (const report of train({ ...base, ...options })) reports.push(report)
  return reports
}

/** Whether an adapter's B, which begins at zero, has moved; and whether all of it is finite. */
async function hasMoved(team: Team, agent = 0): Promise<boolean> {
  const tensors = await policyTensors(nativeOf(team.agents[agent]!.policy), 'weights')
  const values = [...tensors].filter(([name]) => name.includes('lora_B')).flatMap(([, data]) => [...data])
  if (!values.every(Number.isFinite)) throw new Error('Expected finite weights')
  return values.some((value) => value !== 0)
}

test('one sample a prompt: refused where advantages are relative to a group, trained where they are not', async (t) => {
  const team = await openTeam(t)
  const error = await t.throwsAsync(async () => run(team, { algorithm: magrpo({ groupSize: 1 }) }), {
    code: 'ERR_CONFIG',
  })
  t.regex(error!.message, /groupSize.*from 2 up/)
  const reports = await run(team, { algorithm: mareinforce({ groupSize: 1 }) })
  t.is(reports.length, 2)
  t.true(await hasMoved(team))
})

test('one token a completion', async (t) => {
  const team = await openTeam(t)
  const seen: Joint[] = []
  const reports = await run(team, {
    seen,
    sampling: { maxNewTokens: 1, stopIds: [] },
    algorithm: magrpo({ groupSize: 2 }),
  })
  t.true(seen.flat().every(({ ids, finish }) => ids.length === 1 && finish === 'length'))
  t.true(reports.every(({ metrics }) => metrics['train/log_prob_difference_max']! < 1e-4))
  t.true(await hasMoved(team))
})

test('a completion that ends at once is empty text, one trained end token', async (t) => {
  const team = await openTeam(t)
  const seen: Joint[] = []
  const sampling = { maxNewTokens: 4, stopIds: everyId }
  const reports = await run(team, { seen, sampling, algorithm: magrpo({ groupSize: 2 }) })
  t.true(seen.flat().every(({ ids, finish }) => ids.length === 1 && finish === 'stop'))
  t.true(reports.every(({ metrics }) => metrics['train/log_prob_difference_max']! < 1e-4))
  t.true(await hasMoved(team))
})

test('a prompt that leaves room for one token gets one; one that fills the context is an error before any token', async (t) => {
  const team = await openTeam(t)
  const seen: Joint[] = []
  const algorithm = magrpo({ groupSize: 2 })
  await run(team, { seen, prompt: 'x'.repeat(contextLength - 1), algorithm })
  t.true(seen.flat().every(({ ids, finish }) => ids.length === 1 && finish === 'length'))
  const error = await t.throwsAsync(run(team, { prompt: 'x'.repeat(contextLength), algorithm }), {
    code: 'ERR_PROMPT_TOO_LONG',
  })
  t.regex(
    error!.message,
    /context of 32 tokens.* 1 of 1 item does not: item 0 \(32 tokens for agent 'left'\)\. Shorten them/,
  )
})

test('completions without a token: no log-probabilities, no gradient', async (t) => {
  const { policy } = (await openTeam(t)).agents[0]!
  const completions = [{ ids: new Int32Array(0), weights: new Float32Array(0) }]
  const [scores] = await policy.accumulate([{ promptIds: Int32Array.of(5, 6), completions }])
  t.is(scores!.logProbs[0]!.length, 0)
  const { gradNorm, skipped } = await policy.step({ learningRate: 1e-3, weightDecay: 0 })
  t.deepEqual({ gradNorm, skipped }, { gradNorm: 0, skipped: false })
})

test('adapters of different rank and targets in one batch are those of batches of their own', async (t) => {
  const { model } = (await openTeam(t)).agents[0]!.policy
  const settings = [
    { rank: 2, targets: ['q_proj', 'down_proj'], seed: 1 },
    { rank: 5, targets: 'all-linear' as const, seed: 2 },
    { rank: 1, targets: ['v_proj'], seed: 3 },
  ]
  const open = () => Promise.all(settings.map((each) => Policy.lora(model, each)))
  const groupOf = (policy: Policy) => ({
    policy,
    promptIds: Int32Array.of(7, 8, 9),
    completions: [Int32Array.of(3, 4, 5), Int32Array.of(10)].map((ids, i) => ({
      ids,
      weights: new Float32Array(ids.length).fill(i === 0 ? 0.5 : -0.25),
    })),
  })
  const { generateBatch } = await import('../../lib/model/generate.ts')
  const { accumulateBatch } = await import('../../lib/model/score.ts')
  const [together, alone] = [await open(), await open()]
  // Two steps: B begins at zero, and with it the gradient of A.
  for (let step = 0; step < 2; step++) {
    await accumulateBatch(together.map(groupOf))
    for (const policy of alone) await accumulateBatch([groupOf(policy)])
    for (const policy of [...together, ...alone]) await policy.step({ learningRate: 0.05 })
  }
  for (const [index, policy] of together.entries()) {
    const expected = await policyTensors(nativeOf(alone[index]!), 'weights')
    for (const [name, values] of await policyTensors(nativeOf(policy), 'weights'))
      for (const [i, value] of values.entries())
        if (Math.abs(value - expected.get(name)![i]!) > 1e-4) t.fail(`${name}[${i}] of adapter ${index}: ${value}`)
  }
  const requestOf = (policy: Policy, agent: number) => ({
    policy,
    prompt: Int32Array.of(7, 8, 9),
    count: 2,
    stream: { seed: 1, step: 0, agent, prompt: 0, sample: 0 },
  })
  const sampling = { maxNewTokens: 8, stopIds: [] }
  const { generations } = await generateBatch(together.map(requestOf), sampling)
  for (const [agent, policy] of together.entries()) {
    const own = await generateBatch([requestOf(policy, agent)], sampling)
    t.deepEqual(
      generations[agent]!.samples.map(({ ids }) => ids),
      own.generations[0]!.samples.map(({ ids }) => ids),
    )
  }
  // The adapters do differ by now.
  t.notDeepEqual(generations[0]!.samples[0]!.logProbs, generations[1]!.samples[0]!.logProbs)
})

test('a prompt that cannot be used ends a run before its first step, told of by agent, item and turn', async (t) => {
  for (const [prompt, code, place] of [
    ['', 'ERR_EMPTY_PROMPT', (item: string) => new RegExp(`agent 'left' for ${item} of task 'edges', turn 1`)],
    [
      'x'.repeat(contextLength),
      'ERR_PROMPT_TOO_LONG',
      (item: string) => new RegExp(`: ${item} \\(32 tokens for agent 'left'\\)`),
    ],
  ] as const) {
    const team = await openTeam(t)
    const seen: Joint[] = []
    const message = place('item 0')
    await t.throwsAsync(run(team, { prompt, seen }), { code, message })
    const prompts = ['fine', 'fine', prompt]
    const last = { code, message: place('item 2') }
    await t.throwsAsync(run(team, { prompts, seen, steps: 3 }), last)
    const heldOut = { code, message: place('held-out item 1') }
    await t.throwsAsync(run(team, { heldOut: ['fine', prompt], seen, evalEvery: 1, evalItems: 2 }), heldOut)
    t.is(seen.length, 0)
  }
})
