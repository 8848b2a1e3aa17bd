/**
 * Adapters on disk, in PEFT's layout. What a configuration asks for beyond plain LoRA on the seven projections is honoured
 * (rank stabilisation) or refused by name.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import { makeFolder } from '../base/make-folder.ts'
import { readJsonFile } from '../base/read-json.ts'
import { replaceFile, writing } from '../base/write-file.ts'
import type { NativePolicy } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { safetensorsHeader } from './safetensors.ts'

/** Settings of an adapter. */
export interface AdapterSettings {
  rank: number
  alpha: number
  targets: string[]
  /** Scale alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023). */
  rankStabilised: boolean
}

/** Fields that do not change what an adapter computes, or that are read below. */
const understood = new Set([
  'peft_type',
  'task_type',
  'auto_mapping',
  'peft_version',
  'base_model_name_or_path',
  'revision',
  'inference_mode',
  'r',
  'lora_alpha',
  'lora_dropout',
  'target_modules',
  'use_rslora',
  'bias',
  'init_lora_weights',
  'eva_config',
  'megatron_core',
  'qalora_group_size',
])

/** Ranks beyond every matrix there is: a number above it is damage. */
const maxRank = 1_000_000

/** Starts of A and B that leave the base as it is. PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA change it. */
const plainStarts: unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal']

/** What fields ask for that must be absent, false, null or empty; unknown ones must be so too. */
const refused: Record<string, string> = {
  use_dora: 'weight decomposition (DoRA)',
  use_qalora: 'quantisation-aware LoRA',
  use_bdlora: 'block-diagonal LoRA',
  arrow_config: 'adapter routing (Arrow)',
  alora_invocation_tokens: 'activated LoRA',
  rank_pattern: 'ranks that differ between modules',
  alpha_pattern: 'alphas that differ between modules',
  modules_to_save: 'modules trained whole beside the adapter',
  layers_to_transform: 'an adapter on some layers only',
  layers_pattern: 'an adapter on some layers only',
  layer_replication: 'replicated layers',
  exclude_modules: 'excluded modules',
  target_parameters: 'adapters on bare parameters',
  trainable_token_indices: 'trained token embeddings',
  fan_in_fan_out: 'transposed weights',
  lora_bias: 'a bias in the adapter',
  megatron_config: 'Megatron layers',
  corda_config: 'a base changed by CorDA',
  lora_ga_config: 'a base changed by LoRA-GA',
  loftq_config: 'a base changed by LoftQ',
  kasa_config: 'KaSA',
  velora_config: 'VeLoRA',
  monteclora_config: 'MonteCLoRA',
  ensure_weight_tying: 'modules tied to each other',
}

/**
 * Settings and weights file of a PEFT adapter folder.
 *
 * @param projections names of the projections that an adapter of the model may sit on
 * @throws MagrpoError `ERR_MODEL_NOT_FOUND` if there is no adapter, `ERR_ADAPTER` naming the setting that is not supported
 */
export async function readAdapter(
  folder: string,
  projections: readonly string[],
): Promise<{ settings: AdapterSettings; weightsFile: string }> {
  const file = join(folder, 'adapter_config.json')
  const json = await readJsonFile(folder, 'adapter_config.json')
  if (json === undefined)
    throw new MagrpoError(
      'ERR_MODEL_NOT_FOUND',
      `Expected an adapter with adapter_config.json in ${folder} but found none.`,
      {
        details: { folder },
      },
    )
  const fail = (field: string, message: string): never => {
    throw new MagrpoError('ERR_ADAPTER', `${file}: ${message}.`, { details: { file, field } })
  }
  if (json.peft_type !== 'LORA')
    fail('peft_type', `expected "LORA" for "peft_type" but received ${inspect(json.peft_type)}`)
  for (const [field, value] of Object.entries(json)) {
    const isUnset = value === null || value === false || (typeof value === 'object' && Object.keys(value).length === 0)
    if (understood.has(field) || isUnset) continue
    const meaning = Object.hasOwn(refused, field) ? refused[field] : `something unknown (${inspect(value)})`
    fail(field, `"${field}" asks for ${meaning}, which magrpo does not support`)
  }
  if (!plainStarts.includes(json.init_lora_weights))
    fail(
      'init_lora_weights',
      `"init_lora_weights" is ${inspect(json.init_lora_weights)}, which changes the base model's weights and is not ` +
        'supported: convert the adapter to plain LoRA with PEFT first',
    )
  if (json.bias !== undefined && json.bias !== 'none')
    fail('bias', `"bias" asks for trained biases (${inspect(json.bias)}), which magrpo does not support`)
  const { r: rank, lora_alpha: alpha, target_modules: modules } = json
  if (!Number.isInteger(rank) || (rank as number) < 1 || (rank as number) > maxRank)
    fail('r', `expected an integer from 1 to ${maxRank} for "r" but received ${inspect(rank)}`)
  if (typeof alpha !== 'number' || !(alpha > 0 && alpha < Infinity))
    fail('lora_alpha', `expected a positive "lora_alpha" but received ${inspect(alpha)}`)
  const targets = modules === 'all-linear' ? [...projections] : modules
  if (!Array.isArray(targets) || targets.length === 0)
    return fail('target_modules', `expected a list of modules in "target_modules" but received ${inspect(modules)}`)
  for (const target of targets)
    if (!projections.includes(target))
      fail(
        'target_modules',
        `expected "target_modules" among ${projections.join(', ')} but received ${inspect(target)}`,
      )
  const settings = { rank: rank as number, alpha: alpha as number, targets, rankStabilised: json.use_rslora === true }
  return { settings, weightsFile: join(folder, 'adapter_model.safetensors') }
}

/** Writes an adapter so that `peft` opens it. @throws MagrpoError `ERR_RUN` where the folder cannot be written */
export async function writeAdapter(
  folder: string,
  native: NativePolicy,
  settings: AdapterSettings,
  model: { source: string; hub: { name: string; commit: string } | null },
): Promise<void> {
  await writing(folder, () => makeFolder(folder))
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: model.hub?.name ?? model.source,
    // The commit, so that nobody puts the adapter on a later base.
    ...(model.hub !== null && { revision: model.hub.commit }),
    r: settings.rank,
    lora_alpha: settings.alpha,
    target_modules: settings.targets,
    use_rslora: settings.rankStabilised,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    inference_mode: true,
  }
  const header = safetensorsHeader(native.tensors('weights'), { format: 'pt' })
  const file = join(folder, 'adapter_model.safetensors')
  await writing(folder, async () => {
    await replaceFile(file, (part) => callNative(() => native.writeTensors('weights', part, header)))
    await writeFile(join(folder, 'adapter_config.json'), `${JSON.stringify(config, null, 2)}\n`)
  })
}
