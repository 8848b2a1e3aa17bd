import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { editJson, editSafetensors } from '../support/tiny-model.ts'

const llama = (t: ExecutionContext): Promise<Model> => openModel(t, goldenModel('llama'))

/** A copy of the golden adapter whose settings are changed. */
async function adapterWith(t: ExecutionContext, changes: Record<string, unknown> = {}): Promise<string> {
  const folder = await temporaryFolder(t)
  await cp(join(goldenDir('llama'), 'adapter'), folder, { recursive: true })
  editJson(join(folder, 'adapter_config.json'), (json) => Object.assign(json, changes))
  return folder
}

/** The setting that each special adapter of PEFT must be refused for. */
const special: Record<string, string> = {
  'activated-lora': 'alora_invocation_tokens',
  'bias-all': 'bias',
  dora: 'use_dora',
  'embedding-target': 'target_modules',
  'exclude-modules': 'exclude_modules',
  'fan-in-fan-out': 'fan_in_fan_out',
  'head-target': 'target_modules',
  'layer-replication': 'layer_replication',
  'layers-to-transform': 'layers_to_transform',
  'lora-bias': 'lora_bias',
  'modules-to-save': 'modules_to_save',
  'regex-targets': 'target_modules',
  'target-parameters': 'target_parameters',
  'token-indices': 'trainable_token_indices',
}

test('there is an expectation for every special adapter', (t) => {
  t.deepEqual(readdirSync(goldenDir('special-adapters')).sort(), Object.keys(special).sort())
})

for (const [name, field] of Object.entries(special))
  test(`${name}: refused, naming ${field}`, async (t) => {
    const folder = join(goldenDir('special-adapters'), name)
    const model = await llama(t)
    const error = await rejectsWith(t, () => Policy.fromAdapter(model, folder), 'ERR_ADAPTER', field, folder)
    t.is(error.details.field, field)
  })

test('ranks and alphas by pattern are refused', async (t) => {
  const model = await llama(t)
  const folder = join(goldenDir('llama'), 'adapter-patterns')
  await rejectsWith(t, () => Policy.fromAdapter(model, folder), 'ERR_ADAPTER', /rank_pattern|alpha_pattern/, folder)
  const alphas = await adapterWith(t, { alpha_pattern: { q_proj: 3 } })
  await rejectsWith(t, () => Policy.fromAdapter(model, alphas), 'ERR_ADAPTER', 'alpha_pattern')
})

const refused: [field: string, value: unknown][] = [
  ['peft_type', 'IA3'],
  ['peft_type', undefined],
  ['r', 0],
  ['r', 2.5],
  ['r', '4'],
  ['lora_alpha', null],
  ['lora_alpha', -1],
  ['target_modules', []],
  ['target_modules', ['q_proj', 'c_attn']],
  ['target_modules', null],
  ['init_lora_weights', 'pissa'],
  ['init_lora_weights', 'olora'],
  ['init_lora_weights', 'loftq'],
  ['bias', 'lora_only'],
  ['kasa_config', { beta: 0.1 }],
  ['monteclora_config', { samples: 4 }],
  ['a_setting_of_the_future', true],
  ['a_setting_of_the_future', { x: 1 }],
]

for (const [field, value] of refused)
  test(`refused by name: ${JSON.stringify({ [field]: value ?? null })}`, async (t) => {
    const model = await llama(t)
    const folder = await adapterWith(t, { [field]: value })
    await rejectsWith(t, () => Policy.fromAdapter(model, folder), 'ERR_ADAPTER', field, folder)
  })

test('settings that change nothing are accepted', async (t) => {
  const model = await llama(t)
  const harmless = {
    init_lora_weights: 'gaussian',
    lora_dropout: 0.1,
    peft_version: '9',
    a_setting_of_the_future: null,
  }
  t.is((await Policy.fromAdapter(model, await adapterWith(t, harmless))).kind, 'lora')
  t.is((await Policy.fromAdapter(model, await adapterWith(t, { target_modules: 'all-linear' }))).kind, 'lora')
})

test('rank stabilisation is honoured', async (t) => {
  const model = await llama(t)
  const prompt = { promptIds: Int32Array.from([5, 6]), completions: [{ ids: Int32Array.from([7, 8, 9]) }] }
  const { r } = readGolden<{ r: number }>('llama/adapter/adapter_config.json')
  const scores = async (changes: Record<string, unknown>) =>
    (await Policy.fromAdapter(model, await adapterWith(t, changes))).logProbs([prompt])
  const stabilised = await scores({ use_rslora: true, lora_alpha: 8 })
  t.notDeepEqual(stabilised, await scores({ use_rslora: false, lora_alpha: 8 }))
  t.deepEqual(stabilised, await scores({ use_rslora: false, lora_alpha: (8 * r) / Math.sqrt(r) }))
})

test('an adapter that is not there, or whose files are broken', async (t) => {
  const model = await llama(t)
  const open = (folder: string) => () => Policy.fromAdapter(model, folder)
  const empty = await temporaryFolder(t)
  await rejectsWith(t, open(empty), 'ERR_MODEL_NOT_FOUND', empty, 'adapter_config.json')
  const folder = await adapterWith(t)
  const weights = join(folder, 'adapter_model.safetensors')
  editSafetensors(weights, (header, data) => {
    data.writeFloatLE(Number.NaN, Object.values(header)[0]!.data_offsets[0])
    return undefined
  })
  await rejectsWith(t, open(folder), 'ERR_MODEL_WEIGHTS', weights)
  writeFileSync(weights, 'short')
  await rejectsWith(t, open(folder), 'ERR_MODEL_FORMAT', weights)
  rmSync(weights)
  await rejectsWith(t, open(folder), 'ERR_MODEL_NOT_FOUND', weights)
  writeFileSync(join(folder, 'adapter_config.json'), '{')
  await rejectsWith(t, open(folder), 'ERR_MODEL_FORMAT', 'adapter_config.json', 'not JSON')
})

test('an adapter of another model, another rank or with other targets is refused', async (t) => {
  const folder = await adapterWith(t)
  const weights = join(folder, 'adapter_model.safetensors')
  const other = await openModel(t, goldenModel('qwen3-tied'))
  await rejectsWith(t, () => Policy.fromAdapter(other, folder), 'ERR_MODEL_FORMAT', weights, 'Expected shape')
  const model = await llama(t)
  const rank = await adapterWith(t, { r: 2 })
  await rejectsWith(t, () => Policy.fromAdapter(model, rank), 'ERR_MODEL_FORMAT', 'Expected shape [2, 64]')
  const fewer = await adapterWith(t, { target_modules: ['q_proj'] })
  await rejectsWith(t, () => Policy.fromAdapter(model, fewer), 'ERR_ADAPTER', 'targets q_proj', fewer)
  const more = join(goldenDir('llama'), 'adapter-rslora')
  const { target_modules } = readGolden<{ target_modules: string[] }>('llama/adapter-rslora/adapter_config.json')
  const lacking = await temporaryFolder(t)
  await cp(more, lacking, { recursive: true })
  editJson(join(lacking, 'adapter_config.json'), (json) =>
    Object.assign(json, { target_modules: [...target_modules, 'gate_proj'] }),
  )
  await rejectsWith(t, () => Policy.fromAdapter(model, lacking), 'ERR_MODEL_FORMAT', 'gate_proj', lacking)
})

const wrongOptions: [options: object, code: string, says: string][] = [
  [{ rank: 0 }, 'ERR_CONFIG', 'rank'],
  [{ rank: 1.5 }, 'ERR_CONFIG', 'rank'],
  [{ rank: Number.NaN }, 'ERR_CONFIG', 'rank'],
  [{ alpha: 0 }, 'ERR_CONFIG', 'alpha'],
  [{ alpha: Number.POSITIVE_INFINITY }, 'ERR_CONFIG', 'alpha'],
  [{ targets: [] }, 'ERR_ARGUMENT', 'target module'],
  [{ targets: ['lm_head'] }, 'ERR_ADAPTER', 'lm_head'],
  [{ seed: 1.5 }, 'ERR_CONFIG', 'seed'],
]

for (const [options, code, says] of wrongOptions)
  test(`a new adapter's options out of range: ${JSON.stringify(options)}`, async (t) => {
    const model = await llama(t)
    await rejectsWith(t, () => Policy.lora(model, options), code as 'ERR_CONFIG', says)
  })

test('one full policy a model, and another when it is gone', async (t) => {
  const model = await llama(t)
  const first = await Policy.full(model)
  await rejectsWith(t, () => Policy.full(model), 'ERR_ARGUMENT', 'one full policy')
  await first.dispose()
  const second = await Policy.full(model)
  await rejectsWith(t, () => Policy.full(model), 'ERR_ARGUMENT', 'one full policy')
  t.is(second.parameterCount, model.parameterCount)
})
