import test from 'ava'
import { startRun } from '../../lib/rl/run.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import type { RunEnd, RunSink } from '../../lib/rl/types/sink.ts'
import { TableEngine, type TableHooks, tableBackend } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

type Options = Omit<TrainOptions<ToyItem>, 'team'>

function setUp(changes: Partial<Options> = {}) {
  const engine = new TableEngine(2, { prompts: 2, positions: 1, tokens: 4 })
  const backend = tableBackend(engine, ['left', 'right'])
  const log: string[] = []
  const ends: RunEnd[] = []
  const sink: RunSink = {
    onStart: () => void log.push('start'),
    onStep: ({ index }) => void log.push(`step ${index}`),
    onEval: ({ index }) => void log.push(`eval ${index}`),
    onBest: ({ index }) => void log.push(`best ${index}`),
    onEnd: (end) => {
      log.push(`end ${end.reason}`)
      ends.push(end)
    },
  }
  const task = complementTask()
  const options = { task, optimizer: { learningRate: 1 }, steps: 3, promptsPerStep: 4, sinks: [sink], ...changes }
  return { engine, backend, log, ends, sink, run: startRun(backend, options) }
}

test('nothing happens before anyone asks', async (t) => {
  const { log, engine } = setUp()
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(log, [])
  t.is(engine.calls.generate, 0)
})

test('a loop sees each step after the sinks did, weights standing still meanwhile', async (t) => {
  const { run, log, engine } = setUp()
  for await (const { index } of run) {
    t.is(log.at(-1), `step ${index}`)
    t.is(engine.steps[0], index)
    await new Promise((resolve) => setImmediate(resolve))
    t.is(engine.steps[0], index)
  }
  t.deepEqual(log, ['start', 'step 1', 'step 2', 'step 3', 'end finished'])
  const { reason, steps } = await run.result
  t.deepEqual({ reason, steps }, { reason: 'finished', steps: 3 })
})

test('reading the result drives a run that nobody iterates', async (t) => {
  const { run, log } = setUp()
  t.is((await run.result).reason, 'finished')
  t.is(log.at(-1), 'end finished')
  t.throws(() => run[Symbol.asyncIterator](), {
    code: 'ERR_ARGUMENT',
    message: /Iterate it once, before reading result/,
  })
})

test('leaving the loop stops the run', async (t) => {
  const { run, ends } = setUp()
  for await (const _ of run) break
  t.is(ends[0]!.reason, 'stopped')
  t.is(ends[0]!.steps, 1)
  t.is((await run.result).reason, 'stopped')
})

test('stop between steps ends the loop without an error', async (t) => {
  const { run, ends, engine } = setUp()
  for await (const { index } of run) if (index === 2) run.stop()
  t.is(ends[0]!.reason, 'stopped')
  t.is(ends[0]!.steps, 2)
  t.is(engine.steps[0], 2)
})

for (const phase of ['onGenerate', 'onAccumulate', 'onAccumulated'] as const) {
  test(`stop in ${phase} drops the step under way and its gradients`, async (t) => {
    const { run, engine, ends } = setUp()
    engine.hooks = inCall(phase, 2, () => run.stop())
    t.is((await run.result).reason, 'stopped')
    t.is(ends[0]!.steps, 1)
    t.deepEqual(engine.steps, [1, 1])
    t.true(engine.gradients.every((gradient) => gradient.every((value) => value === 0)))
  })

  test(`abort in ${phase} rejects with the reason, the weights being those of the last step`, async (t) => {
    const controller = new AbortController()
    const reason = new Error('no more')
    const { run, engine, ends } = setUp({ signal: controller.signal })
    engine.hooks = inCall(phase, 2, () => controller.abort(reason))
    await t.throwsAsync(
      async () => {
        for await (const _ of run);
      },
      { is: reason },
    )
    await t.throwsAsync(run.result, { is: reason })
    t.is(ends[0]!.reason, 'aborted')
    t.is(ends[0]!.error, reason)
    t.deepEqual(engine.steps, [1, 1])
    t.true(engine.gradients.every((gradient) => gradient.every((value) => value === 0)))
  })
}

test('once the optimizer moves, all agents move', async (t) => {
  const { run, engine, ends } = setUp()
  engine.hooks.onStep = () => run.stop()
  t.is((await run.result).reason, 'stopped')
  t.is(ends[0]!.steps, 1)
  t.deepEqual(engine.steps, [1, 1])
})

test('abort before the run: no work, onEnd all the same', async (t) => {
  const { run, engine, log } = setUp({ signal: AbortSignal.abort() })
  await t.throwsAsync(run.result, { any: true, name: 'AbortError' })
  t.is(engine.calls.generate, 0)
  t.deepEqual(log, ['start', 'end aborted'])
})

test('abort after the run changes nothing', async (t) => {
  const controller = new AbortController()
  const { run } = setUp({ signal: controller.signal })
  await run.result
  controller.abort()
  t.is((await run.result).reason, 'finished')
})

test('abort while a reward is under way', async (t) => {
  const controller = new AbortController()
  const task = complementTask({
    reward: () => {
      controller.abort()
      return new Promise(() => {})
    },
  })
  const { run, ends } = setUp({ task, signal: controller.signal })
  await t.throwsAsync(run.result, { any: true, name: 'AbortError' })
  t.is(ends[0]!.reason, 'aborted')
})

test('a reward that fails ends the run with its error, and sinks may still save', async (t) => {
  let calls = 0
  const task = complementTask({ reward: () => (++calls > 20 ? NaN : calls % 2) })
  const { run, ends, backend } = setUp({
    task,
    sinks: [{ onEnd: (_, save) => save('rescued') }],
  })
  await t.throwsAsync(run.result, { code: 'ERR_REWARD', message: /received NaN/ })
  t.deepEqual(ends, [])
  t.deepEqual(backend.saved, ['rescued'])
})

test('a sink that fails ends the run; the others still hear of the end', async (t) => {
  const cause = new Error('disk full')
  const { sink, log } = setUp()
  const bad: RunSink = {
    onStep: () => {
      throw cause
    },
    onEnd: () => {
      throw new Error('also in the end')
    },
  }
  const { run } = setUp({ sinks: [bad, sink] })
  await t.throwsAsync(run.result, { is: cause })
  t.deepEqual(log, ['start', 'end failed'])
})

test('gradients that are not finite are skipped, counted and warned of once', async (t) => {
  const warnings: string[] = []
  const { run, engine } = setUp({ sinks: [{ onWarning: ({ code }) => void warnings.push(code) }] })
  engine.hooks.onStep = (policy) => {
    if (policy === 1) engine.gradients[1]![0] = NaN
  }
  const counts: (number | undefined)[] = []
  for await (const { metrics, warnings: texts, index } of run) {
    counts.push(metrics['train/skipped_steps'])
    t.false('train/grad_norm/right' in metrics)
    t.is(texts.filter((text) => /gradient of right was not finite/.test(text)).length, Number(index === 1))
  }
  t.deepEqual(counts, [1, 2, 3])
  t.is(warnings.filter((code) => code === 'non_finite_gradient').length, 1)
  t.deepEqual(engine.steps, [3, 0])
})

/** A hook that acts in its n-th call. */
function inCall(phase: 'onGenerate' | 'onAccumulate' | 'onAccumulated', call: number, act: () => void): TableHooks {
  let calls = 0
  return {
    [phase]: () => {
      if (++calls === call) act()
    },
  }
}
