/**
 * Reads `config.json` of a Hugging Face model folder. Every field that changes what is computed is honoured or refused by
 * name; both spellings of the rope settings are understood.
 */
import { ModelFormatError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import type { NativeModelConfig, NativeRope } from '../native/addon-types.ts'

/** Architectures that magrpo computes, by `model_type`. */
export const supportedArchitectures = ['llama', 'mistral', 'qwen2', 'qwen3'] as const

/** One of {@link supportedArchitectures}. */
export type Architecture = (typeof supportedArchitectures)[number]

/** A model's shape and limits. */
export interface ModelConfig extends NativeModelConfig {
  architecture: Architecture
  /** Most tokens of a text: `max_position_embeddings`. */
  contextLength: number
  /** dtype the checkpoint says it is in. */
  dtype: 'float32' | 'bfloat16' | 'float16'
  /** `eos_token_id`, as a list. */
  endIds: number[]
}

type Json = Record<string, unknown>

/** More layers than any model has: a number beyond it is damage, found before memory is taken. */
const maxLayers = 10_000

/**
 * The configuration in `json`, the parsed `config.json` of `file`.
 *
 * @throws ModelFormatError `ERR_MODEL_UNSUPPORTED` for an architecture or setting that is not implemented,
 *   `ERR_MODEL_FORMAT` for a missing or malformed field
 */
export function parseModelConfig(json: unknown, file: string): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new ModelFormatError('ERR_MODEL_FORMAT', `Expected a JSON object in ${file}.`, { details: { file } })
  const fields = new Fields(json as Json, file)
  const architecture = fields.json.model_type as Architecture
  if (!supportedArchitectures.includes(architecture))
    fields.unsupported('model_type', `architecture ${JSON.stringify(architecture)}`, supportedArchitectures.join(', '))
  const activation = fields.json.hidden_act ?? 'silu'
  if (activation !== 'silu' && activation !== 'swish')
    fields.unsupported('hidden_act', `activation ${JSON.stringify(activation)}`, 'silu')
  if (fields.json.quantization_config !== undefined && fields.json.quantization_config !== null)
    fields.unsupported('quantization_config', 'quantised weights', 'float32, float16 and bfloat16')

  const hiddenSize = fields.integer('hidden_size')
  const numHeads = fields.integer('num_attention_heads')
  const numLayers = fields.integer('num_hidden_layers')
  if (numLayers > maxLayers) fields.malformed('num_hidden_layers', `at most ${maxLayers} layers`, numLayers)
  const numKvHeads = fields.integer('num_key_value_heads', numHeads)
  if (numHeads % numKvHeads !== 0)
    fields.malformed('num_attention_heads', `a multiple of "num_key_value_heads" (${numKvHeads})`, numHeads)
  const headDim = fields.integer('head_dim', architecture === 'qwen3' ? 128 : Math.floor(hiddenSize / numHeads))
  if (headDim % 2 !== 0)
    fields.malformed('head_dim', 'an even number (else it is hidden_size / num_attention_heads)', headDim)
  const attentionBias = fields.boolean('attention_bias', false)
  return {
    architecture,
    vocabSize: fields.integer('vocab_size'),
    hiddenSize,
    intermediateSize: fields.integer('intermediate_size'),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    rmsNormEps: fields.number('rms_norm_eps', 1e-6),
    rope: rope(fields),
    qkvBias: architecture === 'qwen2' || attentionBias,
    outputBias: architecture !== 'qwen2' && attentionBias,
    mlpBias: architecture === 'llama' && fields.boolean('mlp_bias', false),
    qkNorm: architecture === 'qwen3',
    tieWordEmbeddings: fields.boolean('tie_word_embeddings', false),
    slidingWindows: slidingWindows(fields, architecture, numLayers),
    contextLength: fields.integer('max_position_embeddings', architecture === 'llama' ? 2048 : 32768),
    dtype: dtype(fields),
    endIds: endIdsOf(json, file),
  }
}

/**
 * Ids of the field `eos_token_id`: a number, a list of numbers, or nothing.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` for anything else, since completions would never end
 */
export function endIdsOf(json: unknown, file: string): number[] {
  const value = (json as Json | null)?.eos_token_id ?? []
  const ids: unknown[] = Array.isArray(value) ? value : [value]
  const isId = (id: unknown): id is number => Number.isInteger(id) && (id as number) >= 0
  if (!ids.every(isId)) new Fields({}, file).malformed('eos_token_id', 'a token id, a list of token ids or null', value)
  return ids as number[]
}

class Fields {
  readonly json: Json
  readonly file: string

  constructor(json: Json, file: string) {
    this.json = json
    this.file = file
  }

  number(name: string, fallback?: number, json = this.json): number {
    const value = json[name] ?? fallback
    if (typeof value !== 'number' || !Number.isFinite(value)) this.malformed(name, 'a number', value)
    return value as number
  }

  integer(name: string, fallback?: number, json = this.json): number {
    const value = this.number(name, fallback, json)
    if (!Number.isInteger(value) || value <= 0) this.malformed(name, 'a positive integer', value)
    return value
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.json[name] ?? fallback
    if (typeof value !== 'boolean') this.malformed(name, 'true or false', value)
    return value as boolean
  }

  malformed(name: string, expected: string, value: unknown): never {
    throw new ModelFormatError(
      'ERR_MODEL_FORMAT',
      `Expected ${expected} for "${name}" but received ${inspect(value)} (${this.file}).`,
      { details: { file: this.file, field: name } },
    )
  }

  unsupported(name: string, what: string, supported: string): never {
    throw new ModelFormatError(
      'ERR_MODEL_UNSUPPORTED',
      `${this.file} asks for ${what} ("${name}"), which magrpo does not compute. Supported: ${supported}.`,
      { details: { file: this.file, field: name } },
    )
  }
}

/** `rope_parameters` (newer files), or `rope_theta` with `rope_scaling`. */
function rope(fields: Fields): NativeRope {
  const newer = (fields.json.rope_parameters ?? {}) as Json
  const older: Json = {
    ...(fields.json.rope_theta !== undefined && { rope_theta: fields.json.rope_theta }),
    ...((fields.json.rope_scaling ?? {}) as Json),
  }
  refuseConflict(fields, newer, older)
  const settings = Object.keys(newer).length > 0 ? newer : older
  const type = settings.rope_type ?? settings.type ?? 'default'
  if (type !== 'default' && type !== 'linear' && type !== 'llama3')
    fields.unsupported('rope_type', `rope type ${JSON.stringify(type)}`, 'default, linear, llama3')
  const partial = settings.partial_rotary_factor ?? fields.json.partial_rotary_factor ?? 1
  if (partial !== 1) fields.unsupported('partial_rotary_factor', `a rotation of ${partial} of each head`, '1')
  return {
    type,
    theta: fields.number('rope_theta', (fields.json.rope_theta as number | undefined) ?? 10000, settings),
    factor: type === 'default' ? 1 : fields.number('factor', undefined, settings),
    lowFreqFactor: type === 'llama3' ? fields.number('low_freq_factor', undefined, settings) : 1,
    highFreqFactor: type === 'llama3' ? fields.number('high_freq_factor', undefined, settings) : 4,
    originalMaxPositions:
      type === 'llama3'
        ? fields.integer(
            'original_max_position_embeddings',
            fields.json.max_position_embeddings as number | undefined,
            settings,
          )
        : 0,
  }
}

/** Where both spellings are there and say different things, readers disagree on which one counts. */
function refuseConflict(fields: Fields, newer: Json, older: Json): void {
  const typesOf = (settings: Json) => [settings.rope_type, settings.type].filter((type) => type !== undefined)
  const scaling = fields.json.rope_scaling
  if (new Set(typesOf(older)).size > 1) fields.malformed('rope_scaling', 'one type of scaling', scaling)
  if (Object.keys(newer).length === 0 || Object.keys(older).length === 0) return
  // A frequency base alone says nothing about the type.
  const typeOf = (settings: Json) => typesOf(settings)[0] ?? 'default'
  const scales = Object.keys(older).some((key) => key !== 'rope_theta')
  const differs = (key: string) => key in newer && key in older && inspect(newer[key]) !== inspect(older[key])
  const wrong = !scales || typeOf(newer) === typeOf(older) ? Object.keys(older).find(differs) : 'rope_type'
  if (wrong === undefined) return
  const said = (settings: Json) => inspect(wrong === 'rope_type' ? typeOf(settings) : settings[wrong])
  fields.malformed(
    wrong === 'rope_theta' && fields.json.rope_theta !== undefined ? 'rope_theta' : 'rope_scaling',
    `the same ${wrong} as in "rope_parameters" (${said(newer)}), or one of the two settings alone,`,
    wrong === 'rope_theta' ? older.rope_theta : scaling,
  )
}

/** Window of each layer, 0 for full attention, as transformers resolves it for each architecture. */
function slidingWindows(fields: Fields, architecture: Architecture, numLayers: number): Int32Array {
  const windows = new Int32Array(numLayers)
  const layerTypes = fields.json.layer_types as unknown[] | null | undefined
  if (layerTypes !== undefined && layerTypes !== null) {
    if (!Array.isArray(layerTypes) || layerTypes.length !== numLayers)
      fields.malformed('layer_types', `a list of ${numLayers} layer types`, layerTypes)
    for (const type of layerTypes)
      if (type !== 'full_attention' && type !== 'sliding_attention')
        fields.unsupported('layer_types', `layer type ${JSON.stringify(type)}`, 'full_attention, sliding_attention')
  }
  const isQwen = architecture === 'qwen2' || architecture === 'qwen3'
  if (architecture === 'llama' || (isQwen && fields.json.use_sliding_window !== true)) return windows
  // A file without the field means 4,096; null means none.
  const window = fields.json.sliding_window === undefined ? 4096 : fields.json.sliding_window
  if (window === null) return windows
  if (!Number.isInteger(window) || (window as number) <= 0)
    fields.malformed('sliding_window', 'a positive integer or null', window)
  const firstSliding = isQwen ? fields.number('max_window_layers', 28) : 0
  for (let layer = 0; layer < numLayers; layer++) {
    const slides = layerTypes ? layerTypes[layer] === 'sliding_attention' : layer >= firstSliding
    if (slides || architecture === 'mistral') windows[layer] = window as number
  }
  return windows
}

function dtype(fields: Fields): ModelConfig['dtype'] {
  const value = fields.json.dtype ?? fields.json.torch_dtype ?? 'float32'
  if (value !== 'float32' && value !== 'bfloat16' && value !== 'float16')
    fields.unsupported('dtype', `dtype ${JSON.stringify(value)}`, 'float32, bfloat16, float16')
  return value
}
