import test from 'ava'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { mareinforce } from '../../lib/rl/algorithms/mareinforce.ts'
import { maremax } from '../../lib/rl/algorithms/maremax.ts'
import { marloo } from '../../lib/rl/algorithms/marloo.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import type { RunWarning } from '../../lib/rl/types/reports.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

async function warningsOf(changes: Partial<Omit<TrainOptions<ToyItem>, 'team'>>, positions = 1): Promise<RunWarning[]> {
  const engine = new TableEngine(2, { prompts: 2, positions, tokens: 4 })
  const warnings: RunWarning[] = []
  const run = startRun(tableBackend(engine, ['left', 'right']), {
    task: complementTask(),
    optimizer: { learningRate: 1 },
    steps: 4,
    promptsPerStep: 4,
    sinks: [{ onWarning: (warning) => void warnings.push(warning) }],
    ...changes,
  })
  const told: string[] = []
  for await (const report of run) told.push(...report.warnings)
  t_assertSame(told, warnings)
  return warnings
}

/** Every warning raised in a step is in its report too. */
function t_assertSame(told: readonly string[], warnings: readonly RunWarning[]): void {
  for (const text of told) if (!warnings.some(({ message }) => message === text)) throw new Error(`untold: ${text}`)
}

test('most completions hit the limit: said once, with the limit', async (t) => {
  const warnings = await warningsOf({})
  const [warning, ...others] = warnings.filter(({ code }) => code === 'length_limit')
  t.deepEqual(others, [])
  t.is(warning!.index, 1)
  t.regex(
    warning!.message,
    /^Step 1: \d+ % of the completions hit the limit of 1 new tokens\. Raise sampling\.maxNewTokens/,
  )
})

test('completions that end by themselves raise nothing', async (t) => {
  const warnings = await warningsOf({ task: complementTask({ defaults: { maxNewTokens: 30 } }) }, 30)
  t.deepEqual(
    warnings.filter(({ code }) => code === 'length_limit'),
    [],
  )
})

test('equal rewards: the remedy depends on whether they are the best ones', async (t) => {
  for (const [reward, pattern] of [
    [0, /^Step 1: 100 % of the groups have equal rewards and teach nothing\. Raise the group size/],
    [1, /Most of them \(8 of 8\) have the highest reward: there is little left to learn\.$/],
  ] as const) {
    const warnings = await warningsOf({ task: complementTask({ reward: () => reward }) })
    const [warning, ...others] = warnings.filter(({ code }) => code === 'equal_rewards')
    t.deepEqual(others, [])
    t.regex(warning!.message, pattern)
  }
})

test('differing rewards raise nothing', async (t) => {
  let calls = 0
  const warnings = await warningsOf({ task: complementTask({ reward: () => calls++ }) })
  t.deepEqual(
    warnings.filter(({ code }) => code === 'equal_rewards'),
    [],
  )
})

test('small steps are judged together, a short run at its end', async (t) => {
  const task = complementTask({ reward: () => 0 })
  const early = await warningsOf({ task, promptsPerStep: 1, steps: 3 })
  t.is(early.find(({ code }) => code === 'equal_rewards')!.index, 2)
  const late = await warningsOf({ task, promptsPerStep: 1, steps: 1 })
  t.is(late.find(({ code }) => code === 'equal_rewards')!.index, 1)
})

for (const [algorithm, baseline] of [
  [marloo({ scaleByStd: true }), 'rloo'],
  [maremax({ scaleByStd: true }), 'max'],
  [mareinforce({ scaleByStd: true }), 'raw'],
] as const) {
  test(`${algorithm.name} with std scaling: said before the first step that it equals magrpo`, async (t) => {
    const [warning, ...others] = (await warningsOf({ algorithm })).filter(({ code }) => code === 'cancelled_baseline')
    t.deepEqual(others, [])
    t.is(warning!.index, 0)
    t.true(warning!.message.startsWith(`${algorithm.name} with scaleByStd equals magrpo with scaleByStd`))
    t.true(warning!.message.includes(`'${baseline}'`))
  })
}

test('magrpo with std scaling, marloo without: nothing to say', async (t) => {
  for (const algorithm of [magrpo({ scaleByStd: true }), marloo()]) {
    t.false((await warningsOf({ algorithm })).some(({ code }) => code === 'cancelled_baseline'))
  }
})

test('ended is stop with rewards above 0: said before the first step that being solved is punished', async (t) => {
  const told = async (ended: 'absorb' | 'stop', turns: number, maxReward?: number) => {
    const task = complementTask({ maxReward, transition: () => 'stop' })
    const warnings = await warningsOf({ algorithm: magrpo({ turns, ended }), task })
    return warnings.filter(({ code }) => code === 'punished_end')
  }
  for (const maxReward of [1, undefined]) {
    const [warning, ...others] = await told('stop', 2, maxReward)
    t.deepEqual(others, [])
    t.is(warning!.index, 0)
    t.regex(
      warning!.message,
      maxReward === 1 ? /rewards go up to 1:/ : /may be above 0 \(the task does not say maxReward\)/,
    )
  }
  t.deepEqual(await told('stop', 2, 0), [])
  t.deepEqual(await told('stop', 1, 1), [])
  t.deepEqual(await told('absorb', 2, 1), [])
})

test('the best reward is that of a turn, not the return over turns', async (t) => {
  const task = complementTask({ reward: () => 0.6, transition: () => ({ prompts: ['0', '1'] }) })
  const warnings = await warningsOf({ algorithm: magrpo({ turns: 2 }), task })
  t.regex(warnings.find(({ code }) => code === 'equal_rewards')!.message, /Raise the group size/)
})

test('a threshold below the least reward: said before the first step', async (t) => {
  const algorithm = magrpo({ turns: 2, terminationThreshold: -0.2 })
  const task = complementTask({ minReward: 0, transition: () => ({ prompts: ['0', '1'] }) })
  const warnings = (await warningsOf({ algorithm, task })).filter(({ code }) => code === 'early_termination')
  t.deepEqual(
    warnings.map(({ index }) => index),
    [0],
  )
  t.regex(warnings[0]!.message, /will end at turn 1 of 2: .* at least 0, above algorithm.terminationThreshold \(-0.2\)/)
})

test('a threshold that ends every episode at turn 1: said once seen, with the rewards', async (t) => {
  const task = complementTask({ reward: (item) => 1 + item.prompt, transition: () => ({ prompts: ['0', '1'] }) })
  const early = async (terminationThreshold: number | null) => {
    const algorithm = magrpo({ turns: 2, terminationThreshold })
    return (await warningsOf({ algorithm, task })).filter(({ code }) => code === 'early_termination')
  }
  const warnings = await early(0.5)
  t.deepEqual(
    warnings.map(({ index }) => index),
    [1],
  )
  t.regex(warnings[0]!.message, /all 4 episodes ended at turn 1 of 2, .* \(from 1.000 up\) are above .* \(0.5\)/)
  t.deepEqual(await early(1.5), [])
  t.deepEqual(await early(null), [])
})
