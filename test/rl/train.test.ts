import test from 'ava'
import { grpo } from '../../lib/rl/algorithms/grpo.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { mareinforce } from '../../lib/rl/algorithms/mareinforce.ts'
import { maremax } from '../../lib/rl/algorithms/maremax.ts'
import { marloo } from '../../lib/rl/algorithms/marloo.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import type { StepReport } from '../../lib/rl/types/reports.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

type Options = Omit<TrainOptions<ToyItem>, 'team'>

const base: Options = {
  task: complementTask(),
  algorithm: magrpo({ groupSize: 8 }),
  optimizer: { learningRate: 2 },
  steps: 150,
  promptsPerStep: 4,
}

function setUp(changes: Partial<Options> = {}, shared = false) {
  const engine = new TableEngine(shared ? 1 : 2, { prompts: 2, positions: 1, tokens: 4 })
  const backend = tableBackend(engine, ['left', 'right'], shared ? [0, 0] : [0, 1])
  return { engine, backend, run: startRun(backend, { ...base, ...changes }) }
}

async function reportsOf(run: AsyncIterable<StepReport>): Promise<StepReport[]> {
  const reports: StepReport[] = []
  for await (const report of run) reports.push(report)
  return reports
}

const meanReward = (reports: readonly StepReport[]) =>
  reports.reduce((sum, { metrics }) => sum + metrics['reward/mean']!, 0) / reports.length

for (const [name, algorithm] of [
  ['magrpo, align', magrpo({ groupSize: 8 })],
  ['magrpo, cross', magrpo({ groupSize: 4, jointMode: 'cross' })],
  ['magrpo, scaled', magrpo({ groupSize: 8, scaleByStd: true })],
  ['marloo', marloo({ groupSize: 8 })],
  ['maremax', maremax({ groupSize: 8 })],
  ['mareinforce', mareinforce({ groupSize: 8 })],
] as const) {
  test(`${name}: two agents that earn nothing alone learn to cooperate`, async (t) => {
    const { run } = setUp({ algorithm })
    const reports = await reportsOf(run)
    t.is(reports.length, 150)
    const before = meanReward(reports.slice(0, 5))
    const after = meanReward(reports.slice(-5))
    t.true(before < 0.4, `before ${before}`)
    t.true(after > 0.95, `after ${after}`)
  })
}

test('which agent writes which letter differs from seed to seed', async (t) => {
  const winners = new Set<string>()
  for (let seed = 0; seed < 6; seed++) {
    const { engine, run } = setUp({ seed, steps: 100 })
    await run.result
    const { probabilities } = engine.row(0, 0, 0)
    winners.add(probabilities[0]! > probabilities[1]! ? 'a' : 'b')
  }
  t.is(winners.size, 2)
})

test('grpo trains one agent', async (t) => {
  const engine = new TableEngine(1, { prompts: 2, positions: 1, tokens: 4 })
  const task = complementTask({ agents: ['only'], reward: (_, joint) => Number(joint[0]!.text === 'c') })
  const run = startRun(tableBackend(engine, ['only']), { ...base, task, algorithm: grpo({ groupSize: 8 }) })
  t.true(meanReward((await reportsOf(run)).slice(-5)) > 0.95)
})

test('the same seed gives the same run, another seed another one', async (t) => {
  const [one, two, other] = [setUp({ steps: 5 }), setUp({ steps: 5 }), setUp({ steps: 5, seed: 1 })]
  const [a, b, c] = [await reportsOf(one.run), await reportsOf(two.run), await reportsOf(other.run)]
  const strip = (reports: StepReport[]) => reports.map(({ timings: _, ...rest }) => rest)
  t.deepEqual(strip(a), strip(b))
  t.notDeepEqual(strip(a), strip(c))
  t.deepEqual(one.engine.logits, two.engine.logits)
})

test('minibatches do not change the run', async (t) => {
  const [whole, cut] = [setUp({ steps: 20 }), setUp({ steps: 20, minibatches: 3 })]
  await whole.run.result
  await cut.run.result
  t.true(cut.engine.calls.accumulate > whole.engine.calls.accumulate)
  for (const [policy, logits] of whole.engine.logits.entries()) {
    for (const [i, value] of logits.entries()) t.true(Math.abs(value - cut.engine.logits[policy]![i]!) < 1e-9)
  }
})

test('a frozen agent plays but does not learn', async (t) => {
  const { engine, backend } = setUp()
  backend.agents[1]!.kind = 'base'
  const reports = await reportsOf(startRun(backend, { ...base, steps: 10 }))
  t.true(engine.logits[1]!.every((value) => value === 0))
  t.true(engine.logits[0]!.some((value) => value !== 0))
  t.false('train/grad_norm/right' in reports[0]!.metrics)
})

test('agents that share a policy: its gradient is theirs together', async (t) => {
  const { engine, run } = setUp({ steps: 3 }, true)
  const [first] = await reportsOf(run)
  t.is(engine.steps[0], 3)
  t.is(first!.metrics['train/grad_norm/left'], first!.metrics['train/grad_norm'])
})

test('learning rate 0 leaves the weights as they are', async (t) => {
  const { engine, run } = setUp({ steps: 3, optimizer: { learningRate: 0 } })
  await run.result
  t.true(engine.logits.flatMap((logits) => [...logits]).every((value) => value === 0))
})

test('the whole set of metrics', async (t) => {
  const { run } = setUp({ steps: 1, optimizer: { learningRate: 2, schedule: 'linear', warmupSteps: 1 } })
  const [report] = await reportsOf(run)
  const perAgent = (name: string) => [name, `${name}/left`, `${name}/right`]
  t.deepEqual(
    Object.keys(report!.metrics).sort(),
    [
      'reward/mean',
      'reward/std',
      'reward/group_std',
      'reward/zero_variance_share',
      'reward/abstained_share',
      'reward/skipped_group_share',
      'reward/left_a',
      'task/same',
      'train/learning_rate',
      'train/skipped_steps',
      'train/log_prob_difference_max',
      ...perAgent('train/grad_norm'),
      ...perAgent('policy/entropy'),
      ...perAgent('completion/length_mean'),
      ...perAgent('completion/length_std'),
      ...perAgent('completion/length_min'),
      ...perAgent('completion/length_max'),
      ...perAgent('completion/truncated_share'),
      ...perAgent('completion/stopped_share'),
    ].sort(),
  )
  t.deepEqual(Object.keys(report!.timings).sort(), [
    'memory/rss_bytes',
    'time/generate_s',
    'time/generate_tokens_per_s',
    'time/reward_s',
    'time/step_s',
    'time/update_s',
    'time/update_tokens_per_s',
  ])
  t.true(Object.values({ ...report!.metrics, ...report!.timings }).every(Number.isFinite))
  t.true(Math.abs(report!.metrics['policy/entropy']! - Math.log(4)) < 1e-6)
  t.is(report!.metrics['completion/length_mean'], 1)
  t.is(report!.metrics['train/learning_rate'], 2)
})

test('samples are reported with prompts, completions, parts and advantages', async (t) => {
  const { run } = setUp({ steps: 1, logSamples: 2 })
  const [report] = await reportsOf(run)
  t.is(report!.samples.length, 2 * 8)
  const rewards = report!.samples.slice(0, 8).map(({ reward }) => reward!)
  const mean = rewards.reduce((a, b) => a + b, 0) / 8
  for (const row of report!.samples.slice(0, 8)) {
    t.is(row.step, 1)
    t.is(row.phase, 'train')
    t.is(row.return, row.reward)
    t.deepEqual(
      row.agents.map(({ name, sample }) => [name, sample]),
      [
        ['left', row.joint],
        ['right', row.joint],
      ],
    )
    for (const { advantage } of row.agents) t.true(Math.abs(advantage! - (row.reward! - mean)) < 1e-12)
    const texts = row.agents.map(({ completion }) => completion).join('')
    t.is(row.reward, Number(texts === 'ab' || texts === 'ba'))
    t.is(row.parts['left_a'], Number(row.agents[0]!.completion === 'a'))
  }
})

test('epochs: the last step may be smaller', async (t) => {
  const { run } = setUp({ steps: undefined, epochs: 1.5, promptsPerStep: 2, logSamples: 9 })
  const reports = await reportsOf(run)
  t.deepEqual(
    reports.map(({ samples }) => samples.length),
    [16, 8],
  )
})
