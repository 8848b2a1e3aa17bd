/** Rollouts ahead of the update: how far, of which weights, and how they end. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { startRun } from '../../lib/rl/run.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

type Options = Omit<TrainOptions<ToyItem>, 'team'>

/** A run with slow rewards that writes down when it generates (`g`), is rewarded (`r`) and moves (`m`). */
function setUp(changes: Partial<Options> = {}, rewardMs = 5) {
  const engine = new TableEngine(2, { prompts: 2, positions: 1, tokens: 4 })
  const log: string[] = []
  /** Moves before each generation. */
  const ages: number[] = []
  engine.hooks.onGenerate = () => {
    log.push('g')
    ages.push(engine.steps[0]!)
  }
  engine.hooks.onStep = (policy) => void (policy === 0 && log.push('m'))
  const toy = complementTask()
  const task: typeof toy = {
    ...toy,
    reward: async (item, joint, context) => {
      await sleep(rewardMs, undefined, { signal: context.signal })
      if (log.at(-1) !== 'r') log.push('r')
      return toy.reward(item, joint, context)
    },
  }
  const options = { task, optimizer: { learningRate: 1 }, steps: 6, promptsPerStep: 2, ...changes }
  return { engine, log, ages, run: startRun(tableBackend(engine, ['left', 'right']), options) }
}

test('by default each step generates with the weights that it moves', async (t) => {
  const { run, log, ages } = setUp()
  await run.result
  t.is(log.join(''), 'grm'.repeat(6))
  t.deepEqual(ages, [0, 1, 2, 3, 4, 5])
})

for (const depth of [1, 2])
  test(`${depth} ahead: while rewards are awaited the next are generated, of weights ${depth} updates older`, async (t) => {
    for (const rewardMs of [0, 5, 20]) {
      const { run, log, ages } = setUp({ pipelineDepth: depth }, rewardMs)
      await run.result
      t.deepEqual(
        ages,
        [0, 1, 2, 3, 4, 5].map((step) => Math.max(0, step - depth)),
        `rewards of ${rewardMs} ms`,
      )
      t.is(log.filter((event) => event === 'm').length, 6)
      if (rewardMs > 0) t.true(log.join('').startsWith('g'.repeat(depth + 1)), log.join(''))
    }
  })

test('a pipelined run repeats, and learns', async (t) => {
  const once = async (rewardMs: number) => {
    const { run, engine } = setUp({ pipelineDepth: 1, steps: 100 }, rewardMs)
    let last = 0
    for await (const { metrics } of run) last = metrics['reward/mean']!
    return { last, logits: engine.logits.map((table) => [...table]) }
  }
  const [quick, slow] = [await once(0), await once(2)]
  t.deepEqual(quick, slow)
  t.true(quick.last > 0.8, String(quick.last))
})

test('leaving the loop, an abort and a reward that fails end what was ahead', async (t) => {
  const left = setUp({ pipelineDepth: 2 })
  for await (const _ of left.run) break
  t.is((await left.run.result).reason, 'stopped')

  const controller = new AbortController()
  const aborted = setUp({ pipelineDepth: 2, signal: controller.signal }, 1000)
  const failing = t.throwsAsync(aborted.run.result, { message: 'enough' })
  while (aborted.log.length < 3) await sleep(1)
  controller.abort(new Error('enough'))
  await failing

  const toy = complementTask()
  let calls = 0
  const task: typeof toy = {
    ...toy,
    reward: () => {
      if (++calls === 30) throw new Error('no verdict')
      return 0
    },
  }
  const failed = setUp({ task, pipelineDepth: 2 })
  await t.throwsAsync(failed.run.result, { code: 'ERR_REWARD', message: /no verdict/ })
  t.is(
    failed.engine.gradients.flatMap((table) => [...table]).find((value) => value !== 0),
    undefined,
  )
})

test('several turns are refused', (t) => {
  const { algorithm } = startRun(
    tableBackend(new TableEngine(2, { prompts: 2, positions: 1, tokens: 4 }), ['left', 'right']),
    {
      task: complementTask(),
      optimizer: { learningRate: 1 },
      steps: 1,
    },
  ).options
  const transition = () => 'stop' as const
  t.throws(
    () => setUp({ pipelineDepth: 1, task: { ...complementTask(), transition }, algorithm: { ...algorithm, turns: 2 } }),
    {
      code: 'ERR_CONFIG',
      message: /pipelineDepth: expected 0 for 2 turns/,
    },
  )
})
