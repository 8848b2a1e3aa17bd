import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { compare } from '../../lib/compare/compare.ts'
import { resolveCompareConfig } from '../../lib/compare/config.ts'
import { sampleOf } from '../../lib/compare/play-method.ts'
import { comparisonFiles, readComparison } from '../../lib/report/comparison/folder.ts'
import type { ComparisonSample, ComparisonTiming } from '../../lib/report/comparison/types.ts'
import type { TrainingBackend } from '../../lib/rl/backend/training-backend.ts'
import { evaluateBackend } from '../../lib/rl/evaluation.ts'
import { TextEngine } from '../baselines/support/text-engine.ts'
import { runCli } from '../support/cli.ts'
import { rejectsWith } from '../support/errors.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiModel } from '../support/tiny-model.ts'

const training = {
  optimizer: { learningRate: 1e-3 },
  steps: 1,
  promptsPerStep: 2,
  algorithm: { groupSize: 2 },
  sampling: { maxNewTokens: 16 },
}

/** A comparison of everything on stories, cut very short. */
function storyConfig(model: string, changes: object = {}) {
  return {
    name: 'tiny',
    task: { name: 'story', train: 20, heldOut: 4 },
    team: { model, adapter: 'full' },
    sampling: { maxNewTokens: 16 },
    items: 3,
    samples: 2,
    seeds: [3, 1],
    timedItems: 1,
    methods: [
      { baseline: 'single' },
      { baseline: 'parallel' },
      { baseline: 'pipeline' },
      { baseline: 'discussion' },
      { name: 'untrained team' },
      { train: training },
      { baseline: 'single', train: training, retrain: false, missingDelimiter: 'cut' },
    ],
    ...changes,
  }
}

const linesOf = async <T>(file: string) =>
  (await readFile(file, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T)

test('every baseline, an untrained, a trained and a single trained team on a real model; the tables come from the files again', async (t) => {
  const model = asciiModel()
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'tiny.yaml'), JSON.stringify(storyConfig(model)))
  const { code, stdout, stderr } = await runCli(['compare', 'tiny.yaml', '--out', 'out', '--json'], { cwd: folder })
  t.is(code, 0, stderr)
  const comparison = JSON.parse(stdout)
  const out = join(folder, 'out')
  const samples = await linesOf<ComparisonSample>(join(out, comparisonFiles.samples))
  const timings = await linesOf<ComparisonTiming>(join(out, comparisonFiles.timings))
  const names = [
    'Single model',
    'Parallel generation',
    'Sequential pipeline',
    'One-round discussion',
    'untrained team',
    'MAGRPO',
    'Fine-tuned single model',
  ]
  t.deepEqual(
    comparison.about.methods.map(({ name }: { name: string }) => name),
    ['Single model', 'Single model, cut', ...names.slice(1), 'Fine-tuned single model, cut'],
  )
  for (const name of names) {
    t.is(samples.filter(({ method }) => method === name).length, 12, name)
    t.is(timings.filter(({ method }) => method === name).length, 2, name)
  }
  t.true(timings.every(({ seconds, tokens }) => seconds > 0 && tokens > 0))

  const texts = (name: string, seed: number) =>
    samples
      .filter((row) => row.method === name && row.seed === seed)
      .map(({ item, sample, texts }) => JSON.stringify([item, sample, texts]))
      .sort()
  t.deepEqual(
    texts('Parallel generation', 3),
    texts('untrained team', 3),
    'parallel generation is what the untrained team does',
  )
  t.notDeepEqual(texts('Parallel generation', 3), texts('Parallel generation', 1))
  const pipeline = samples.find(({ method }) => method === 'Sequential pipeline')!
  t.deepEqual(
    pipeline.said.map(({ agent, round }) => `${agent} ${round}`),
    ['short 0', 'long 1'],
  )
  t.true((pipeline.said[1]!.prompt as string).includes(pipeline.texts[0]!.trimEnd()))
  t.is(samples.find(({ method }) => method === 'One-round discussion')!.said.length, 4)
  const single = samples.find(({ method }) => method === 'Single model')!
  t.true(single.said[0]!.tokens <= 32 && typeof single.divided === 'boolean')

  t.true(
    existsSync(join(out, 'runs/MAGRPO-seed3/final/long')) && existsSync(join(out, 'runs/MAGRPO-seed1/result.json')),
  )
  t.true(existsSync(join(out, 'runs/Fine-tuned-single-model-seed3/final/long')))
  t.false(existsSync(join(out, 'runs/Fine-tuned-single-model-seed1')))
  t.deepEqual(JSON.parse(JSON.stringify(await readComparison(out))), comparison)

  const again = await runCli(['compare', '--from', 'out', '--markdown', '--picture', 'again.svg'], { cwd: folder })
  t.is(again.code, 0, again.stderr)
  t.is(again.stdout, await readFile(join(out, comparisonFiles.markdown), 'utf8'))
  t.is(await readFile(join(folder, 'again.svg'), 'utf8'), await readFile(join(out, comparisonFiles.picture), 'utf8'))
  const full = await runCli(['compare', 'tiny.yaml', '--out', 'out'], { cwd: folder })
  t.is(full.code, 1)
  t.true(full.stderr.includes('ERR_RUN_EXISTS') && full.stderr.includes('--out'))

  const trained = await resolveCompareConfig(
    storyConfig(model, {
      seeds: [3],
      timedItems: 0,
      methods: [
        { name: 'run', run: join(out, 'runs/MAGRPO-seed3') },
        { baseline: 'pipeline', run: join(out, 'runs/MAGRPO-seed3') },
        { baseline: 'single', agent: 'short', run: join(out, 'runs/MAGRPO-seed3') },
      ],
    }),
  )
  const { methods } = await compare(trained)
  const scores = ({ columns }: (typeof methods)[0]) => columns.return!.values[0]
  t.is(
    scores(methods[0]!),
    comparison.methods.find(({ name }: { name: string }) => name === 'MAGRPO').columns.return.values[0],
  )
  t.is(methods[0]!.speed, null)
})

test('what is not there is named', async (t) => {
  const model = asciiModel()
  const run = async (method: object) => compare(await resolveCompareConfig(storyConfig(model, { methods: [method] })))
  await rejectsWith(t, () => run({ run: 'nowhere' }), 'ERR_RUN', 'nowhere')
  const folder = await temporaryFolder(t)
  await rejectsWith(t, () => readComparison(folder), 'ERR_RUN', 'no finished comparison')
  await writeFile(join(folder, 'x.yaml'), JSON.stringify(storyConfig('nowhere')))
  const both = await runCli(['compare', 'x.yaml', '--from', folder], { cwd: folder })
  t.is(both.code, 2)
  const missing = await runCli(['compare', 'x.yaml'], { cwd: folder })
  t.is(missing.code, 1)
  t.true(missing.stderr.includes('ERR_MODEL_NOT_FOUND'), missing.stderr)
})

test('an abort ends a comparison and leaves its samples so far', async (t) => {
  const model = asciiModel()
  const out = join(await temporaryFolder(t), 'out')
  const controller = new AbortController()
  const onProgress = (line: string) => {
    if (line.startsWith('Sequential pipeline')) controller.abort(new Error('enough'))
  }
  const config = await resolveCompareConfig(storyConfig(model))
  await t.throwsAsync(() => compare(config, { out, signal: controller.signal, onProgress }), { message: 'enough' })
  const rows = await linesOf<ComparisonSample>(join(out, comparisonFiles.samples))
  t.deepEqual(
    [...new Set(rows.map(({ method }) => method))],
    ['Single model', 'Single model, cut', 'Parallel generation'],
  )
  t.false(existsSync(join(out, comparisonFiles.comparison)))
})

test('turns of one joint completion belong together', async (t) => {
  const engine = new TextEngine(({ prompt, policy, stream }) => `${prompt} ${policy}${stream.sample}`)
  const agent = (name: string, policy: number) => ({
    name,
    policy,
    kind: 'base' as const,
    parameterCount: 0,
    source: 'text',
  })
  const players = { engine, agents: [agent('a', 0), agent('b', 1)], save: async () => {} } as unknown as TrainingBackend
  const { samples } = await evaluateBackend(players, {
    task: {
      name: 'turns',
      agents: ['a', 'b'],
      items: [{}, {}],
      observe: (_, agent) => `start${agent}`,
      reward: () => 0,
      transition: (_item, joint) => ({ prompts: joint.map(({ text }) => `<${text}>`) }),
    },
    samples: 3,
    turns: 4,
    greedy: false,
    logSamples: 2,
  })
  t.is(samples.length, 24)
  for (const row of samples.filter(({ turn }) => turn > 0)) {
    const before = samples.find(
      (other) => other.item === row.item && other.turn === row.turn - 1 && sampleOf(other, 3) === sampleOf(row, 3),
    )!
    t.is(row.agents[0]!.prompt, `<${before.agents[0]!.completion}>`)
  }
})
