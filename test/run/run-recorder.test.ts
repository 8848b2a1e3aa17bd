import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type Run, startRun } from '../../lib/rl/run.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import { RunFolder } from '../../lib/run/run-folder.ts'
import { RunRecorder } from '../../lib/run/run-recorder.ts'
import { TableEngine, tableBackend } from '../rl/support/table-engine.ts'
import { complementTask, type ToyItem } from '../rl/support/toy-task.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

async function record(t: ExecutionContext, changes: Partial<TrainOptions<ToyItem>> = {}) {
  const folder = await RunFolder.create(join(await temporaryFolder(t), 'run'))
  const backend = tableBackend(new TableEngine(2, { prompts: 2, positions: 1, tokens: 3 }), ['left', 'right'])
  const save = async (directory: string) => {
    await mkdir(join(directory, 'left'), { recursive: true })
    await writeFile(join(directory, 'left', 'weights'), 'left')
  }
  const recorder = new RunRecorder(folder)
  const options = { task: complementTask(), optimizer: { learningRate: 1 }, steps: 5, ...changes }
  return { folder, recorder, run: startRun({ ...backend, save }, options, recorder) }
}

async function linesOf(folder: RunFolder, name: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(folder.file(name), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function exhaust(run: Run): Promise<void> {
  for await (const _ of run) {
    // Recorded by the sink.
  }
}

test('a line a step and a line an evaluation, times apart', async (t) => {
  const { folder, run } = await record(t, { evalEvery: 2 })
  await exhaust(run)
  const metrics = await linesOf(folder, 'metrics.jsonl')
  t.deepEqual(
    metrics.map(({ step }) => step),
    [0, 1, 2, 2, 3, 4, 4, 5, 5],
  )
  t.true(metrics.every((line) => 'eval/reward/mean' in line !== 'reward/mean' in line))
  t.false(metrics.some((line) => Object.keys(line).some((name) => /^(time|memory)\//.test(name))))
  const timings = await linesOf(folder, 'timings.jsonl')
  t.deepEqual(
    timings.map(({ step }) => step),
    metrics.map(({ step }) => step),
  )
  t.true(timings.every((line) => Object.keys(line).every((name) => /^(step$|time\/|memory\/)/.test(name))))
  const samples = await linesOf(folder, 'samples.jsonl')
  t.deepEqual(new Set(samples.map(({ phase }) => phase)), new Set(['eval', 'greedy', 'train']))
})

test('equal runs write equal metrics and samples', async (t) => {
  const [one, two] = [await record(t, { evalEvery: 2 }), await record(t, { evalEvery: 2 })]
  for (const { run } of [one, two]) await exhaust(run)
  for (const name of ['metrics.jsonl', 'samples.jsonl'])
    t.is(await readFile(one.folder.file(name), 'utf8'), await readFile(two.folder.file(name), 'utf8'))
})

test('final, best and the result are written', async (t) => {
  const { folder, run } = await record(t, { evalEvery: 2 })
  await exhaust(run)
  t.is(await readFile(folder.file('final/left/weights'), 'utf8'), 'left')
  t.is(await readFile(folder.file('best/left/weights'), 'utf8'), 'left')
  const best = JSON.parse(await readFile(folder.file('best/eval.json'), 'utf8')) as { step: number; score: number }
  const result = JSON.parse(await readFile(folder.file('result.json'), 'utf8')) as Record<string, unknown>
  t.is(result.reason, 'finished')
  t.is(result.steps, 5)
  t.deepEqual((result.best as typeof best).score, best.score)
  t.deepEqual(
    (await readdir(folder.path)).filter((name) => /writing|old/.test(name)),
    [],
  )
})

test('a run that is stopped saves what it has and says so', async (t) => {
  const { folder, run } = await record(t)
  for await (const step of run) if (step.index === 2) run.stop()
  t.is((await linesOf(folder, 'metrics.jsonl')).length, 2)
  t.is(await readFile(folder.file('final/left/weights'), 'utf8'), 'left')
  const result = JSON.parse(await readFile(folder.file('result.json'), 'utf8')) as Record<string, unknown>
  t.deepEqual([result.reason, result.steps], ['stopped', 2])
})

test('a run that fails keeps its lines and says why', async (t) => {
  let calls = 0
  const reward = () => (++calls > 8 ? Number.NaN : 1)
  const { folder, run } = await record(t, { task: complementTask({ reward }) })
  await t.throwsAsync(exhaust(run))
  t.true((await linesOf(folder, 'metrics.jsonl')).length >= 1)
  const result = JSON.parse(await readFile(folder.file('result.json'), 'utf8')) as {
    reason: string
    error: { code: string }
  }
  t.is(result.reason, 'failed')
  t.is(result.error.code, 'ERR_REWARD')
  t.false((await readdir(folder.path)).includes('final'))
})
