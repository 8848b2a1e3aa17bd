import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import type { EngineRequest } from '../../lib/rl/backend/engine.ts'
import { evaluateBackend } from '../../lib/rl/evaluation.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { EvalReport } from '../../lib/rl/types/reports.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask } from './support/toy-task.ts'

const setUp = () => {
  const engine = new TableEngine(2, { prompts: 2, positions: 1, tokens: 4 })
  return { engine, backend: tableBackend(engine, ['left', 'right']) }
}

test('sampled and greedy, with parts and task metrics', async (t) => {
  const { engine, backend } = setUp()
  // Left prefers a; right prefers b for prompt 0 and a for prompt 1.
  engine.logits[0]!.set([0.5, 0, 0, 0, 0.5, 0, 0, 0])
  engine.logits[1]!.set([0, 0.5, 0, 0, 0.5, 0, 0, 0])
  const report = await evaluateBackend(backend, { task: complementTask(), samples: 500 })
  t.is(report.metrics['eval/greedy/reward/mean'], 0.5)
  t.is(report.metrics['eval/greedy/reward/left_a'], 1)
  t.is(report.metrics['eval/greedy/task/same'], 0.5)
  t.is(report.metrics['eval/greedy/reward/stderr'], 0.5)
  t.is(report.metrics['eval/reward/mean'], report.score)
  const high = Math.exp(0.5) / (Math.exp(0.5) + 3)
  const low = 1 / (Math.exp(0.5) + 3)
  const expected = (high * high + low * low + 2 * high * low) / 2
  t.true(Math.abs(report.score - expected) < 0.04, `${report.score} for ${expected}`)
  t.is(report.metrics['eval/completion/length_mean'], 1)
  t.deepEqual([...new Set(report.samples.map(({ phase, item }) => `${phase} ${item}`))], ['eval 0', 'greedy 0'])
})

test('batches do not change the result, and are counted', async (t) => {
  const { backend, engine } = setUp()
  const task = complementTask({ heldOut: Array.from({ length: 7 }, (_, i) => ({ prompt: i % 2 })) })
  const whole = await evaluateBackend(backend, { task, samples: 3 })
  const progress: string[] = []
  engine.calls.generate = 0
  const pieces = await evaluateBackend(backend, {
    task,
    samples: 3,
    maxRows: 12,
    onProgress: (done, total) => progress.push(`${done}/${total}`),
  })
  t.deepEqual(pieces.metrics, whole.metrics)
  t.deepEqual(progress, ['2/14', '4/14', '6/14', '7/14', '13/14', '14/14'])
  t.is(engine.calls.generate, 6)
})

test('random streams are not those of training', async (t) => {
  const { backend, engine } = setUp()
  const streams: EngineRequest['stream'][] = []
  engine.hooks.onGenerate = (requests) => {
    streams.push(...requests.map(({ stream }) => stream))
  }
  await evaluateBackend(backend, { task: complementTask(), seed: 5 }, 12)
  t.true(streams.every(({ step, seed }) => step === 0 && seed === 5))
  streams.length = 0
  await startRun(backend, { task: complementTask(), optimizer: { learningRate: 1 }, steps: 2 }).result
  t.deepEqual([...new Set(streams.map(({ step }) => step))], [1, 2])
})

test('several turns: no random stream twice, a standard error of the mean that is told, and a slot in every row', async (t) => {
  const { backend, engine } = setUp()
  const samples: string[] = []
  engine.hooks.onGenerate = (requests) => {
    for (const { stream, count } of requests)
      for (let g = 0; g < count; g++) samples.push(`${stream.agent} ${stream.prompt} ${stream.sample + g}`)
  }
  let rewards = 0
  const task = complementTask({ reward: () => (rewards++ % 7) ** 2, transition: () => ({ prompts: ['0', '1'] }) })
  const settings = { task, samples: 4, turns: 4, greedy: false, logSamples: 2 }
  const report = await evaluateBackend(backend, settings)
  t.is(samples.length, 2 * 2 * 4 * 4)
  t.is(new Set(samples).size, samples.length)
  const means = [0, 1].map((slot) => {
    const own = report.samples.filter((row) => row.slot === slot)
    t.is(own.length, 16)
    return own.reduce((sum, { reward }) => sum + reward!, 0) / own.length
  })
  t.is(report.metrics['eval/reward/mean'], (means[0]! + means[1]!) / 2)
  t.is(report.metrics['eval/reward/stderr'], Math.abs(means[0]! - means[1]!) / 2)
})

test('training evaluates before, in between and at the end, and tells the best', async (t) => {
  const { backend } = setUp()
  const scores = [0.2, 0.6, 0.4, 0.6, 0.7]
  const evals: EvalReport[] = []
  const best: number[] = []
  let evaluation = 0
  // Held-out items have the reward that the script above says.
  const task = complementTask({
    heldOut: [{ prompt: 1 }, { prompt: 1 }],
    items: [{ prompt: 0 }],
    reward: (item) => (item.prompt === 1 ? scores[evaluation]! : 0),
  })
  const run = startRun(backend, {
    task,
    optimizer: { learningRate: 1 },
    steps: 7,
    evalEvery: 2,
    evalItems: 1,
    evalGreedy: false,
    sinks: [
      {
        onEval: (report) => {
          evals.push(report)
          evaluation++
        },
        onBest: async ({ index }, save) => {
          best.push(index)
          await save(`best-${index}`)
        },
      },
    ],
  })
  const result = await run.result
  t.deepEqual(
    evals.map(({ index, score }) => [index, score]),
    [0, 2, 4, 6, 7].map((index, i) => [index, scores[i]!]),
  )
  t.deepEqual(best, [0, 2, 7])
  t.deepEqual(backend.saved, ['best-0', 'best-2', 'best-7'])
  t.is(result.best?.index, 7)
  t.is(result.last?.index, 7)
})

test('keepBest: false tells no best, the result still knows it', async (t) => {
  const { backend } = setUp()
  const result = await startRun(backend, {
    task: complementTask(),
    optimizer: { learningRate: 1 },
    steps: 1,
    evalEvery: 1,
    keepBest: false,
    sinks: [{ onBest: () => t.fail() }],
  }).result
  t.not(result.best, null)
})

test('what does not fit is refused', async (t) => {
  const { backend } = setUp()
  await t.throwsAsync(evaluateBackend(backend, { task: complementTask({ agents: ['right', 'left'] }) }), {
    code: 'ERR_TASK',
    message: /in order \(right, left\), but received left, right/,
  })
  await t.throwsAsync(evaluateBackend(backend, { task: complementTask(), items: [] }), { code: 'ERR_TASK' })
  await t.throwsAsync(evaluateBackend(backend, { task: complementTask(), samples: 0, greedy: false, turns: 2 }), {
    instanceOf: ConfigError,
    message: /samples: expected an integer from 1 up.*\n.*turns: expected a task with a transition/,
  })
  const reason = new Error('no')
  await t.throwsAsync(evaluateBackend(backend, { task: complementTask(), signal: AbortSignal.abort(reason) }), {
    is: reason,
  })
})
