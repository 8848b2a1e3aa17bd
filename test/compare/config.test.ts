import { readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { loadCompareConfig, resolveCompareConfig, type WeightSource } from '../../lib/compare/config.ts'
import { parseSetting } from '../../lib/config/set-paths.ts'
import { rejectsWith } from '../support/errors.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

type Training = Extract<WeightSource, { from: 'training' }>
type Models = Extract<WeightSource, { from: 'models' }>

const minimal = {
  task: 'story',
  team: { model: 'm', adapter: 'full' },
  methods: [{ baseline: 'parallel' }],
}

test('defaults, names and seeds', async (t) => {
  const config = await resolveCompareConfig(minimal)
  t.deepEqual(config.seeds, [0, 1, 2])
  t.is(config.samples, 1)
  t.is(config.items, undefined)
  t.deepEqual(config.metrics, ['cooperation/', 'convention/'])
  t.is(config.methods[0]!.name, 'Parallel generation')
  t.deepEqual((await resolveCompareConfig({ ...minimal, seeds: [7, 5] })).seeds, [7, 5])
})

test('where weights come from', async (t) => {
  const train = { optimizer: { learningRate: 0.1 }, steps: 3 }
  const { methods } = await resolveCompareConfig({
    ...minimal,
    methods: [
      { train },
      {
        name: 'best',
        train: { ...train, team: { model: 'other' }, task: { name: 'story', train: 5 } },
        weights: 'best',
        retrain: false,
      },
      { baseline: 'single', train },
      { name: 'runs', run: ['a', 'b', 'c'], turns: 2 },
      { baseline: 'pipeline', team: { models: ['x', 'y'] } },
    ],
  })
  const [own, best, single, runs, pipeline] = methods.map(({ source }) => source) as unknown as [
    Training,
    Training,
    Training,
    unknown,
    Models,
  ]
  t.deepEqual([own.from, own.config.team.model, own.weights, own.retrain], ['training', 'm', 'final', true])
  t.deepEqual(own.config.task, { name: 'story', options: { heldOut: 200, rules: 'strict' } })
  t.deepEqual([best.config.team.model, best.weights, best.retrain], ['other', 'best', false])
  t.is(single.from, 'training')
  t.is(methods[2]!.name, 'Fine-tuned single model')
  t.deepEqual(runs, { from: 'run', runs: ['a', 'b', 'c'], weights: 'final' })
  t.deepEqual(pipeline.team.models, ['x', 'y'])
})

test('mistakes are named with the nearest key, all of them, with lines', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'wrong.yaml')
  await writeFile(
    file,
    `task: { name: mini-cod }
team: { model: m }
sampels: 3
methods:
  - baseline: pipelin
  - train: { optimzer: { learningRate: 0.1 }, steps: 0 }
    weigths: best
`,
  )
  const error = await rejectsWith(
    t,
    () => loadCompareConfig(file),
    'ERR_CONFIG',
    'sampels: unknown key; did you mean "samples"? (line 3)',
    'methods.0.baseline: unknown value "pipelin"; did you mean "pipeline"? (line 5)',
    'methods.1.weigths: unknown key; did you mean "weights"? (line 7)',
    'task.name: unknown task "mini-cod"; did you mean "mini-code"? (line 1)',
  )
  t.true(error.message.startsWith(file))
})

test('a training inside a method is checked by the rules of a run', async (t) => {
  const wrong = { ...minimal, methods: [{ train: { optimizer: { learningRat: 0.1 }, algorithm: { name: 'magrop' } } }] }
  await rejectsWith(
    t,
    () => resolveCompareConfig(wrong),
    'ERR_CONFIG',
    'methods.0.train.optimizer.learningRat: unknown key; did you mean "learningRate"?',
    'methods.0.train.algorithm.name: unknown value "magrop"; did you mean "magrpo"?',
    'methods.0.train.steps: missing; give steps or epochs',
  )
})

test('a training can be a file of its own', async (t) => {
  const train = join(repositoryDir, 'examples/story.yaml')
  const { methods } = await resolveCompareConfig({ ...minimal, methods: [{ train }] })
  const [{ source }] = methods as [(typeof methods)[0]]
  t.true(source.from === 'training' && source.config.steps === 80 && source.config.team.model === 'fixture:stories260K')
  await rejectsWith(
    t,
    () => resolveCompareConfig({ ...minimal, methods: [{ train: 'nowhere.yaml' }] }),
    'ERR_CONFIG',
    'nowhere.yaml',
  )
})

test('what does not go together', async (t) => {
  const check = (method: object, ...parts: string[]) =>
    rejectsWith(t, () => resolveCompareConfig({ ...minimal, methods: [method] }), 'ERR_CONFIG', ...parts)
  const train = { optimizer: { learningRate: 0.1 }, steps: 3 }
  await check({ run: 'a', train }, 'methods.0.train: give run or train, not both')
  await check({ run: 'a', team: { model: 'm' } }, 'methods.0.team: a run has its team already')
  await check({ run: ['a', 'b'] }, 'expected one run for all seeds or 3, one a seed, but received 2')
  await check({ baseline: 'parallel', weights: 'best' }, 'methods.0.weights: only a run or a training')
  await check({ baseline: 'discussion', turns: 2 }, 'methods.0.turns: discussion has rounds of its own')
  await check({ baseline: 'pipeline', agent: 'long' }, 'methods.0.agent: only for baseline: single')
  const twice = { ...minimal, methods: [{ baseline: 'single' }, { baseline: 'single' }] }
  await rejectsWith(t, () => resolveCompareConfig(twice), 'ERR_CONFIG', '"Single model" comes twice')
  const { team: _, ...teamless } = minimal
  await rejectsWith(t, () => resolveCompareConfig(teamless), 'ERR_CONFIG', 'methods.0.team: missing')
  await rejectsWith(t, () => resolveCompareConfig({ ...minimal, seeds: [1, 1] }), 'ERR_CONFIG', 'different seeds')
})

test('settings of the command line go over the file', async (t) => {
  const settings = ['items=5', 'methods.0.sampling.temperature=0.5', 'seeds=2'].map(parseSetting)
  const config = await resolveCompareConfig(minimal, { settings })
  t.deepEqual([config.items, config.seeds, config.methods[0]!.sampling], [5, [0, 1], { temperature: 0.5 }])
})

const examples = join(repositoryDir, 'examples')

for (const name of readdirSync(examples).filter((file) => file.endsWith('compare.yaml'))) {
  test(`examples/${name} is a valid comparison, named as its file`, async (t) => {
    t.is(`${(await loadCompareConfig(join(examples, name))).name}.yaml`, name)
  })
}
