import test from 'ava'
import { startRun } from '../../lib/rl/run.ts'
import type { RunWarning, TrainOptions } from '../../lib/rl/types.ts'
import { TableEngine, tablePlayers } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

async function warningsOf(changes: Partial<Omit<TrainOptions<ToyItem>, 'team'>>, positions = 1): Promise<RunWarning[]> {
  const engine = new TableEngine(2, { prompts: 2, positions, tokens: 4 })
  const warnings: RunWarning[] = []
  const run = startRun(tablePlayers(engine, ['left', 'right']), {
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
