/** Models in and out: what magrpo writes continues texts in transformers and PEFT as it does here, and the other way round. */
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { pullModel } from '../../lib/model/pull.ts'
import { exportWeights } from '../../lib/run/export.ts'
import { runCli } from '../support/cli.ts'
import { commit, type FakeHub, filesOf, startHub } from '../support/fake-hub.ts'
import { goldenDir } from '../support/fixtures.ts'
import { openModel } from '../support/open-model.ts'
import { referencePython, runReference } from '../support/reference-python.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiModel } from '../support/tiny-model.ts'

const prompts = ['Once upon a time', 'One day, a girl', 'The dog was']
const maxNewTokens = 40
const requests = prompts.map((prompt) => ({ prompt, max_new_tokens: maxNewTokens }))

const greedy = async (policy: Policy) =>
  (await policy.generate(prompts, { temperature: 0, maxNewTokens })).map(({ samples: [sample] }) => ({
    completion: sample!.text,
    completion_ids: [...sample!.ids],
  }))

/** Teaches a policy another story, so far that it continues the prompts otherwise than its base. */
async function trained(t: ExecutionContext, policy: Policy): Promise<Policy> {
  const before = await greedy(policy)
  const ids = policy.model.tokenizer!.encode('Once upon a time, there was a big red dragon. The dragon liked soup.')
  const completions = [{ ids: ids.slice(4), weights: new Float32Array(ids.length - 4).fill(1) }]
  for (let step = 0; step < 8; step++) {
    await policy.accumulate([{ promptIds: ids.slice(0, 4), completions }])
    await policy.step({ learningRate: 3e-3 })
  }
  t.notDeepEqual(await greedy(policy), before)
  return policy
}

interface Prepared {
  stories: string
  python: string
  out: string
  /** What Python makes of a model, or of an adapter over it. */
  continued(model: string, adapter?: string): Promise<unknown[]>
}

async function prepare(t: ExecutionContext): Promise<Prepared | undefined> {
  const stories = asciiModel()
  const python = await referencePython(t)
  if (python === undefined) return undefined
  const continued = (...args: string[]) => runReference(python, 'greedy_saved.py', args, requests)
  return { stories, python, continued, out: await temporaryFolder(t) }
}

test.serial('all weights: transformers continues as magrpo does', async (t) => {
  const made = await prepare(t)
  if (made === undefined) return
  const policy = await trained(t, await Policy.full(await openModel(t, made.stories)))
  await policy.save(made.out)
  t.deepEqual(await made.continued(made.out), await greedy(policy))
})

for (const targets of ['all-linear', ['q_proj', 'v_proj']] as const)
  test.serial(`an adapter on ${targets}: PEFT continues as magrpo does, and transformers with it merged`, async (t) => {
    const made = await prepare(t)
    if (made === undefined) return
    const model = await openModel(t, made.stories)
    const policy = await trained(t, await Policy.lora(model, { rank: 8, alpha: 32, targets }))
    const expected = await greedy(policy)
    const [adapter, merged] = [join(made.out, 'adapter'), join(made.out, 'merged')]
    await policy.save(adapter)
    await policy.save(merged, { merged: true })
    t.deepEqual(await made.continued(made.stories, adapter), expected)
    t.deepEqual(await made.continued('-', adapter), expected, 'over the base that it names')
    t.deepEqual(await made.continued(merged), expected)
    const exported = await exportWeights(adapter, { out: join(made.out, 'again'), as: 'merged' })
    t.deepEqual(await made.continued(exported[0]!.folder), expected)
  })

test.serial('a bfloat16 model with its adapter merged: transformers continues as magrpo does', async (t) => {
  const made = await prepare(t)
  if (made === undefined) return
  const model = await openModel(t, made.stories, { dtype: 'bfloat16' })
  const policy = await trained(t, await Policy.lora(model, { rank: 8, alpha: 32 }))
  await policy.save(made.out, { merged: true })
  t.is(JSON.parse(readFileSync(join(made.out, 'config.json'), 'utf8')).dtype, 'bfloat16')
  // The script computes in float32 with the merged weights.
  t.deepEqual(await made.continued(made.out), await greedy(Policy.base(await openModel(t, made.out))))
})

const settings = {
  plain: { r: 8, lora_alpha: 16, target_modules: 'all-linear' },
  'rank-stabilised': { r: 4, lora_alpha: 8, target_modules: ['q_proj', 'down_proj'], use_rslora: true },
  'with dropout': { r: 2, lora_alpha: 4, target_modules: ['o_proj', 'up_proj'], lora_dropout: 0.1 },
}
for (const [name, config] of Object.entries(settings))
  test.serial(`an adapter that PEFT made and trained, ${name}: magrpo continues as PEFT does`, async (t) => {
    const made = await prepare(t)
    if (made === undefined) return
    const args = [made.stories, made.out, JSON.stringify(config)]
    const [about, ...expected] = (await runReference(made.python, 'make_adapter.py', args, requests)) as [
      { largest_b: number; base_differs: boolean },
      ...{ completion_ids: number[] }[],
    ]
    t.true(about.largest_b > 1e-3 && about.base_differs)
    const ids = (texts: { completion_ids: number[] }[]) => texts.map(({ completion_ids }) => completion_ids)
    const model: Model = await openModel(t, made.stories)
    t.deepEqual(ids(await greedy(await Policy.fromAdapter(model, made.out))), ids(expected))
    const flags = ['--adapter', made.out, '--json', '--temperature', '0', '--max-new-tokens', String(maxNewTokens)]
    const input = prompts.map((prompt) => `${JSON.stringify({ prompt })}\n`).join('')
    const generated = await runCli(['generate', '--model', made.stories, ...flags], { input })
    t.deepEqual(ids(generated.json() as { completion_ids: number[] }[]), ids(expected), generated.stderr)
  })

/** Runs `hub_cache.py` with the environment of a hub. */
async function pythonCache(python: string, hub: FakeHub, what: 'download' | 'find'): Promise<Record<string, unknown>> {
  const env = {
    ...process.env,
    ...hub.environment,
    HF_HUB_OFFLINE: what === 'find' ? '1' : '0',
    HF_HUB_DISABLE_XET: '1',
  }
  const { stdout } = await promisify(execFile)(python, [goldenDir('hub_cache.py'), what, 'org/stories'], { env })
  return JSON.parse(stdout) as Record<string, unknown>
}

test.serial("Python's tools find what magrpo downloaded, and magrpo what they did", async (t) => {
  const made = await prepare(t)
  if (made === undefined) return
  const files = filesOf(made.stories)
  const hub = await startHub(t, { type: 'model', name: 'org/stories' }, files)
  const { folder } = await pullModel('org/stories')
  const found = await pythonCache(made.python, hub, 'find')
  t.is(found.folder, folder)
  t.deepEqual(found.files, Object.keys(files).sort())
  t.deepEqual([found.warnings, found.revisions], [[], [[['main']]]])
  const model = await openModel(t, 'org/stories')
  t.is(found.parameters, model.parameterCount)
  rmSync(hub.cache, { recursive: true })
  const downloaded = await pythonCache(made.python, hub, 'download')
  t.is(downloaded.folder, folder)
  const count = hub.requests.length
  const theirs = await openModel(t, 'org/stories')
  t.deepEqual(theirs.hub, { name: 'org/stories', commit })
  t.is(hub.requests.length, count, 'nothing was asked')
  t.deepEqual(await greedy(Policy.base(theirs)), await greedy(Policy.base(model)))
  t.is((await pullModel('org/stories')).downloadedBytes, 0)
})
