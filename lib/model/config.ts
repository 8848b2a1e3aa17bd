/**
 * Reads `config.json` of a Hugging Face model folder. Every field that changes what is computed is honoured or refused by
 * name; both spellings of the rope settings are understood.
 */
import { ModelFormatError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import type { NativeModelConfig, NativeRope } from '../native/addon-types.ts'
import { type ArchitectureSpec, architectureSpec, supportedArchitectures } from './architecture.ts'

/** One of {@link supportedArchitectures}. */
export type Architecture = string

/** A model's shape and limits. */
export interface ModelConfig extends NativeModelConfig {
  /** RMS norm of each query and key head before the rotation. */
  qkNorm: boolean
  /** Most tokens of a text: `max_position_embeddings`. */
  contextLength: number
  /** dtype the checkpoint says it is in. */
  dtype: 'float32' | 'bfloat16' | 'float16'
  /** `eos_token_id`, as a list. */
  endIds: number[]
}

type Json = Record<string, unknown>

/** Largest integer of a file. */
const maxInteger = 2 ** 31 - 1

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
  const spec = architectureSpec((json as Json).model_type) ?? refuseArchitecture(json as Json, file)
  const fields = new Fields(json as Json, file, spec.defaults)
  for (const [field, what] of Object.entries(spec.unsupported ?? {}))
    if (![undefined, null, false].includes(fields.json[field] as undefined)) fields.unsupported(field, what, 'none')
  const { field, names } = spec.mlp.activation
  const activation = fields.json[field] ?? names[0]
  if (!names.includes(activation as string)) fields.unsupported(field, `activation ${inspect(activation)}`, names[0]!)
  if (fields.json.quantization_config !== undefined && fields.json.quantization_config !== null)
    fields.unsupported('quantization_config', 'quantised weights', 'float32, float16 and bfloat16')

  const hiddenSize = fields.integer('hidden_size')
  const numHeads = fields.integer('num_attention_heads')
  const numLayers = fields.integer('num_hidden_layers')
  if (numLayers > maxLayers) fields.malformed('num_hidden_layers', `at most ${maxLayers} layers`, numLayers)
  const numKvHeads = fields.integer('num_key_value_heads', numHeads)
  if (numHeads % numKvHeads !== 0)
    fields.malformed('num_attention_heads', `a multiple of "num_key_value_heads" (${numKvHeads})`, numHeads)
  const headDim = fields.integer('head_dim', Math.floor(hiddenSize / numHeads))
  if (headDim % 2 !== 0)
    fields.malformed('head_dim', 'an even number (else it is hidden_size / num_attention_heads)', headDim)
  const hasBias = (bias: string | boolean = false) => (typeof bias === 'string' ? fields.boolean(bias) : bias)
  return {
    architecture: spec.model_type,
    vocabSize: fields.integer('vocab_size'),
    hiddenSize,
    intermediateSize: fields.integer('intermediate_size'),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    rmsNormEps: fields.positive('rms_norm_eps', 1e-6),
    queryScalar: spec.attention.scale === undefined ? headDim : fields.integer(spec.attention.scale),
    ...ropes(fields, spec),
    qkvBias: hasBias(spec.attention.qkv_bias),
    outputBias: hasBias(spec.attention.output_bias),
    mlpBias: hasBias(spec.mlp.bias),
    qkNorm: spec.attention.query_norm !== undefined,
    tieWordEmbeddings: fields.boolean('tie_word_embeddings'),
    slidingWindows: slidingWindows(fields, spec, numLayers),
    contextLength: fields.integer('max_position_embeddings'),
    dtype: dtype(fields),
    endIds: endIdsOf(json, file),
  }
}

/** Checkpoint names of all weights of a model; a tied head has none of its own. */
export function tensorNames(config: ModelConfig): Set<string> {
  const { embedding, attention, mlp, final_norm, head } = architectureSpec(config.architecture)!
  const { query, key, value, output } = attention
  const linear = (projections: { tensor: string }[], bias: boolean) =>
    projections.flatMap(({ tensor }) => [`${tensor}.weight`, ...(bias ? [`${tensor}.bias`] : [])])
  const norms = [attention.norm_before, attention.query_norm, attention.key_norm, attention.norm_after]
  const inLayer = [
    ...[...norms, mlp.norm_before, mlp.norm_after].flatMap((norm) => (norm === undefined ? [] : [`${norm}.weight`])),
    ...linear([query, key, value], config.qkvBias),
    ...linear([output], config.outputBias),
    ...linear([mlp.gate, mlp.up, mlp.down], config.mlpBias),
  ]
  return new Set([
    ...linear([{ tensor: embedding.tensor }, { tensor: final_norm }], false),
    ...(config.tieWordEmbeddings ? [] : [`${head}.weight`]),
    ...Array.from({ length: config.numLayers }, (_, layer) =>
      inLayer.map((name) => name.replace('{layer}', String(layer))),
    ).flat(),
  ])
}

/**
 * Ids of the field `eos_token_id`: a number, a list of numbers, or nothing.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` for anything else, since completions would never end
 */
export function endIdsOf(json: unknown, file: string): number[] {
  const value = (json as Json | null)?.eos_token_id ?? []
  const ids: unknown[] = Array.isArray(value) ? value : [value]
  const isId = (id: unknown): id is number =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) <= maxInteger
  // Ids are 32-bit in the core.
  if (!ids.every(isId))
    new Fields({}, file, {}).malformed('eos_token_id', 'a token id, a list of token ids or null', value)
  return ids as number[]
}

function refuseArchitecture(json: Json, file: string): never {
  const inner = (json.text_config as Json | undefined)?.model_type
  // A model of text and images, whose text part is known.
  const hint = architectureSpec(inner)
    ? `, whose text model alone (${inspect(inner)}) it computes where that is a checkpoint of its own`
    : ''
  const what = `architecture ${inspect(json.model_type)}${hint}`
  return new Fields(json, file, {}).unsupported('model_type', what, supportedArchitectures.join(', '))
}

class Fields {
  readonly json: Json
  readonly file: string
  readonly defaults: Json

  constructor(json: Json, file: string, defaults: Json) {
    this.json = json
    this.file = file
    this.defaults = defaults
  }

  number(name: string, fallback?: number, json?: Json): number {
    const value = (json === undefined ? (this.json[name] ?? this.defaults[name]) : json[name]) ?? fallback
    if (typeof value !== 'number' || !Number.isFinite(value)) this.malformed(name, 'a number', value)
    return value as number
  }

  integer(name: string, fallback?: number, json?: Json): number {
    const value = this.number(name, fallback, json)
    if (!Number.isInteger(value) || value <= 0) this.malformed(name, 'a positive integer', value)
    // Windows are 32-bit in the core, and no size of a model comes near.
    if (value > maxInteger) this.malformed(name, `at most ${maxInteger}`, value)
    return value
  }

  positive(name: string, fallback?: number, json?: Json): number {
    const value = this.number(name, fallback, json)
    if (value <= 0) this.malformed(name, 'a number above 0', value)
    return value
  }

  /** A field that holds settings. */
  object(name: string, json: Json = this.json): Json {
    const value = json[name] ?? {}
    if (typeof value !== 'object' || Array.isArray(value)) this.malformed(name, 'settings or null', value)
    return value as Json
  }

  boolean(name: string): boolean {
    const value = this.json[name] ?? this.defaults[name] ?? false
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

function ropes(fields: Fields, { attention }: ArchitectureSpec): Pick<NativeModelConfig, 'rope' | 'slidingRope'> {
  const newer = fields.object('rope_parameters')
  const scaling = fields.object('rope_scaling')
  const slidingTheta = attention.sliding?.rope_theta
  const kinds = ['full_attention', 'sliding_attention'] as const
  if (slidingTheta === undefined) return { rope: rope(fields, newer, 'rope_theta', scaling), slidingRope: null }
  if (Object.keys(newer).some((key) => !kinds.includes(key as 'full_attention')))
    fields.malformed('rope_parameters', `settings of ${kinds.join(' and of ')} alone`, newer)
  const [full, sliding] = kinds.map((kind) => fields.object(kind, newer))
  return {
    rope: rope(fields, full!, 'rope_theta', scaling),
    slidingRope: rope(fields, sliding!, slidingTheta, {}),
  }
}

/** From `rope_parameters` (newer files), or the field `thetaField` with `rope_scaling`. */
function rope(fields: Fields, newer: Json, thetaField: string, scaling: Json): NativeRope {
  const theta = fields.json[thetaField]
  const older: Json = { ...(theta !== undefined && { rope_theta: theta }), ...scaling }
  refuseConflict(fields, newer, older, thetaField)
  const settings = Object.keys(newer).length > 0 ? newer : older
  const type = settings.rope_type ?? settings.type ?? 'default'
  if (type !== 'default' && type !== 'linear' && type !== 'llama3')
    fields.unsupported('rope_type', `rope type ${inspect(type)}`, 'default, linear, llama3')
  const partial = settings.partial_rotary_factor ?? fields.json.partial_rotary_factor ?? 1
  if (partial !== 1) fields.unsupported('partial_rotary_factor', `a rotation of ${inspect(partial)} of each head`, '1')
  const thetaName = 'rope_theta' in newer ? 'rope_theta' : thetaField
  return {
    type,
    theta: fields.positive(thetaName, (theta ?? fields.defaults[thetaField] ?? 10000) as number, {
      [thetaName]: settings.rope_theta,
    }),
    factor: type === 'default' ? 1 : fields.positive('factor', undefined, settings),
    lowFreqFactor: type === 'llama3' ? fields.positive('low_freq_factor', undefined, settings) : 1,
    highFreqFactor: type === 'llama3' ? fields.positive('high_freq_factor', undefined, settings) : 4,
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
function refuseConflict(fields: Fields, newer: Json, older: Json, thetaField: string): void {
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
    wrong === 'rope_theta' && fields.json[thetaField] !== undefined ? thetaField : 'rope_scaling',
    `the same ${wrong} as in "rope_parameters" (${said(newer)}), or one of the two settings alone,`,
    wrong === 'rope_theta' ? older.rope_theta : scaling,
  )
}

/** Window of each layer, 0 for full attention, as transformers resolves it for each architecture. */
function slidingWindows(fields: Fields, { attention: { sliding } }: ArchitectureSpec, numLayers: number): Int32Array {
  const windows = new Int32Array(numLayers)
  const layerTypes = fields.json.layer_types as unknown[] | null | undefined
  if (layerTypes !== undefined && layerTypes !== null) {
    if (!Array.isArray(layerTypes) || layerTypes.length !== numLayers)
      fields.malformed('layer_types', `a list of ${numLayers} layer types`, layerTypes)
    for (const type of layerTypes)
      if (type !== 'full_attention' && type !== 'sliding_attention')
        fields.unsupported('layer_types', `layer type ${inspect(type)}`, 'full_attention, sliding_attention')
  }
  if (sliding === undefined || (sliding.switch !== undefined && fields.json[sliding.switch] !== true)) return windows
  // A file without the field means the default; null means none, where windows decide of nothing else.
  const { sliding_window: window } = { ...fields.defaults, ...fields.json }
  if (window === null && sliding.rope_theta === undefined) return windows
  if (!Number.isInteger(window) || (window as number) <= 0)
    fields.malformed('sliding_window', 'a positive integer or null', window)
  if ((window as number) > maxInteger) fields.malformed('sliding_window', `at most ${maxInteger}`, window)
  const bound =
    sliding.layers === 'all'
      ? 0
      : sliding.layers === 'from'
        ? fields.number(sliding.field!)
        : fields.integer(sliding.field!)
  const slides = {
    // Auto classes of transformers read a Mistral that lists its layers as Ministral.
    all: (layer: number) => !layerTypes || layerTypes[layer] === 'sliding_attention',
    from: (layer: number) => (layerTypes ? layerTypes[layer] === 'sliding_attention' : layer >= bound),
    all_but_every: (layer: number) =>
      layerTypes ? layerTypes[layer] === 'sliding_attention' : (layer + 1) % bound !== 0,
  }[sliding.layers]
  return windows.map((_, layer) => (slides(layer) ? (window as number) : 0))
}

function dtype(fields: Fields): ModelConfig['dtype'] {
  const value = fields.json.dtype ?? fields.json.torch_dtype ?? 'float32'
  if (value !== 'float32' && value !== 'bfloat16' && value !== 'float16')
    fields.unsupported('dtype', `dtype ${inspect(value)}`, 'float32, bfloat16, float16')
  return value
}
