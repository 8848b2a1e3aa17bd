/** Training by a name of the hub, and taking the weights elsewhere. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Policy } from '../../lib/model/policy.ts'
import { pullModel } from '../../lib/model/pull.ts'
import { exportWeights } from '../../lib/run/export.ts'
import { runCli } from '../support/cli.ts'
import { rejectsWith } from '../support/errors.ts'
import { commit, filesOf, startHub } from '../support/fake-hub.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiModel } from '../support/tiny-model.ts'

const name = 'org/stories'

/** Trains two story writers for two steps, by the model's name. */
async function trainedRun(t: ExecutionContext, adapter: string) {
  const model = asciiModel()
  const hub = await startHub(t, { type: 'model', name }, filesOf(model))
  const folder = await temporaryFolder(t)
  writeFileSync(
    join(folder, 'tiny.yaml'),
    `name: tiny
team: { model: ${name}, adapter: ${adapter} }
task: { name: story, train: 20, heldOut: 2 }
algorithm: { groupSize: 4 }
sampling: { maxNewTokens: 96 }
optimizer: { learningRate: 3.0e-2 }
steps: 2
checkpointEvery: 1
evalEvery: 1
`,
  )
  const trained = await runCli(['train', 'tiny.yaml'], { cwd: folder, env: hub.environment })
  t.is(trained.code, 0, trained.stderr)
  const run = join(folder, 'runs/tiny')
  return {
    hub,
    folder,
    run,
    stderr: trained.stderr,
    export: (...args: string[]) => runCli(['export', ...args], { cwd: folder, env: hub.environment }),
  }
}

const prompts = ['Once upon a time', 'One day']
const greedy = async (policy: Policy) =>
  (await policy.generate(prompts, { temperature: 0, maxNewTokens: 16 })).map(({ samples }) => samples[0]!.text)

test.serial(
  'adapters: trained by a name, exported as they are and merged; a resumed run keeps its commit',
  async (t) => {
    const made = await trainedRun(t, '{ rank: 4 }')
    if (made === undefined) return
    const { hub, folder, run, stderr } = made
    t.regex(stderr, /asking http.* for org\/stories \(main\)\ndownloading org\/stories/)
    t.is(stderr.match(/downloading/g)?.length, 1)
    const plain = await made.export('runs/tiny', '--out', 'adapters')
    t.is(plain.code, 0, plain.stderr)
    t.is(plain.stdout, 'adapters/long\nadapters/short\n')
    t.regex(plain.stderr, /an adapter over org\/stories/)
    const merged = await made.export('runs/tiny', '--out', 'merged', '--merged', '--json')
    t.is(merged.code, 0, merged.stderr)
    t.deepEqual(merged.json(), [
      { agent: 'long', folder: 'merged/long', kind: 'merged', base: name },
      { agent: 'short', folder: 'merged/short', kind: 'merged', base: name },
    ])
    const base = await openModel(t, name)
    for (const agent of ['long', 'short']) {
      const config = JSON.parse(readFileSync(join(folder, 'adapters', agent, 'adapter_config.json'), 'utf8'))
      t.like(config, { base_model_name_or_path: name, revision: commit })
      t.deepEqual(
        readFileSync(join(folder, 'adapters', agent, 'adapter_model.safetensors')),
        readFileSync(join(run, 'final', agent, 'adapter_model.safetensors')),
      )
      const texts = await greedy(await Policy.fromAdapter(base, join(folder, 'adapters', agent)))
      t.deepEqual(await greedy(Policy.base(await openModel(t, join(folder, 'merged', agent)))), texts)
      t.notDeepEqual(await greedy(Policy.base(base)), texts)
    }
    const single = await made.export(
      'adapters/long',
      '--adapter',
      '--base',
      'org/renamed@v2',
      '--out',
      'single',
      '--json',
    )
    t.deepEqual(single.json(), [{ agent: null, folder: 'single', kind: 'adapter', base: 'org/renamed' }], single.stderr)
    const renamed = JSON.parse(readFileSync(join(folder, 'single/adapter_config.json'), 'utf8'))
    t.like(renamed, { base_model_name_or_path: 'org/renamed', revision: 'v2' })

    hub.commit = 'decade'.padEnd(40, '0')
    t.is((await pullModel(name)).commit, hub.commit)
    rmSync(join(run, 'result.json'))
    const resumed = await runCli(['resume', 'runs/tiny'], { cwd: folder, env: hub.environment })
    t.is(resumed.code, 0, resumed.stderr)
    const environment = JSON.parse(readFileSync(join(run, 'environment.json'), 'utf8'))
    t.like(environment.native.models[0], { source: name, commit })
    t.like(environment.resumed[0].native.models[0], { source: name, commit })
  },
)

test.serial('all weights: exported as they are; best weights; one agent', async (t) => {
  const made = await trainedRun(t, 'full')
  if (made === undefined) return
  const { folder, run } = made
  const [one] = await exportWeights(run, { out: join(folder, 'out'), agent: 'short', weights: 'best' })
  t.deepEqual(one, { agent: 'short', folder: join(folder, 'out'), kind: 'full', base: null })
  t.true(existsSync(join(folder, 'out/tokenizer.json')))
  const [trained, exported] = [await openModel(t, join(run, 'best/short')), await openModel(t, join(folder, 'out'))]
  t.deepEqual(await greedy(Policy.base(exported)), await greedy(Policy.base(trained)))
  const [again] = await exportWeights(join(folder, 'out'), {
    out: join(folder, 'half'),
    as: 'merged',
    dtype: 'bfloat16',
  })
  t.is(again!.kind, 'full', 'whole weights are whole')
  t.is((await openModel(t, join(folder, 'half'), { dtype: 'auto' })).dtype, 'bfloat16')
  await rejectsWith(
    t,
    () => exportWeights(run, { out: join(folder, 'a'), as: 'adapter' }),
    'ERR_ARGUMENT',
    'no adapter',
  )
  await rejectsWith(
    t,
    () => exportWeights(run, { out: join(folder, 'a'), agent: 'x' }),
    'ERR_ARGUMENT',
    'long, short',
    'x',
  )
  await rejectsWith(t, () => exportWeights(run, { out: join(folder, 'out') }), 'ERR_RUN_EXISTS', join(folder, 'out'))
  t.false(existsSync(join(folder, 'a')))
})

test.serial('what cannot be exported is an error that says what to do', async (t) => {
  const folder = await temporaryFolder(t)
  const out = join(folder, 'out')
  await rejectsWith(t, () => exportWeights(join(folder, 'none'), { out }), 'ERR_RUN', 'adapter_config.json')
  writeFileSync(join(folder, 'run.json'), '{}')
  await rejectsWith(t, () => exportWeights(folder, { out }), 'ERR_RUN', 'has no final/', 'magrpo resume')
  mkdirSync(join(folder, 'adapter'))
  writeFileSync(join(folder, 'adapter/adapter_config.json'), '{"peft_type":"LORA"}')
  await rejectsWith(t, () => exportWeights(join(folder, 'adapter'), { out, as: 'merged' }), 'ERR_ADAPTER', '--base')
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  t.is(await t.throwsAsync(exportWeights(join(folder, 'adapter'), { out, signal })), reason)
  const both = await runCli(['export', folder, '--out', out, '--merged', '--adapter'])
  t.is(both.code, 2, both.stderr)
  t.is((await runCli(['export', folder])).code, 2)
  t.deepEqual(readdirSync(folder).sort(), ['adapter', 'run.json'])
})
