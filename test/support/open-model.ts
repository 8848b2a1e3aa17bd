/**
 * Opens the golden and fixture folders through the addon alone, so that the core is tested whatever `lib/model` makes of a folder.
 * It knows what these folders hold and checks nothing; `lib/model` is what reads folders of strangers.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NativeModel, NativeModelConfig, NativePolicy, NativeTensorSource } from '../../lib/native/addon-types.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'

// biome-ignore lint/suspicious/noExplicitAny: JSON of files that this repository wrote
const readJson = (path: string): any => JSON.parse(readFileSync(path, 'utf8'))

function tensorsOf(file: string): NativeTensorSource[] {
  const bytes = readFileSync(file)
  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0))
  const { __metadata__, ...tensors } = JSON.parse(bytes.toString('utf8', 8, headerEnd)) as Record<
    string,
    { dtype: NativeTensorSource['dtype']; shape: number[]; data_offsets: [number, number] }
  >
  return Object.entries(tensors).map(([name, { dtype, shape, data_offsets }]) => ({
    name,
    file,
    dtype,
    shape,
    begin: headerEnd + data_offsets[0],
  }))
}

function nativeConfig(folder: string): NativeModelConfig {
  const config = readJson(join(folder, 'config.json'))
  const rope = config.rope_parameters ?? { ...config.rope_scaling, rope_theta: config.rope_theta }
  const isQwen = config.model_type.startsWith('qwen')
  const window = isQwen && !config.use_sliding_window ? 0 : (config.sliding_window ?? 0)
  const isFull = (layer: number) =>
    config.layer_types ? config.layer_types[layer] === 'full_attention' : isQwen && layer < config.max_window_layers
  return {
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    numLayers: config.num_hidden_layers,
    numHeads: config.num_attention_heads,
    numKvHeads: config.num_key_value_heads,
    headDim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
    rmsNormEps: config.rms_norm_eps,
    rope: {
      type: rope.rope_type ?? rope.type ?? 'default',
      theta: rope.rope_theta,
      factor: rope.factor ?? 1,
      lowFreqFactor: rope.low_freq_factor ?? 1,
      highFreqFactor: rope.high_freq_factor ?? 4,
      originalMaxPositions: rope.original_max_position_embeddings ?? 0,
    },
    qkvBias: config.model_type === 'qwen2' || config.attention_bias === true,
    outputBias: config.model_type !== 'qwen2' && config.attention_bias === true,
    mlpBias: config.mlp_bias === true,
    qkNorm: config.model_type === 'qwen3',
    tieWordEmbeddings: config.tie_word_embeddings,
    slidingWindows: Int32Array.from({ length: config.num_hidden_layers }, (_, i) => (isFull(i) ? 0 : window)),
  }
}

/** A model folder on the CPU; two threads would gain nothing on models of this size. */
export async function openModel(folder: string, dtype: 'float32' | 'bfloat16'): Promise<NativeModel> {
  const addon = loadAddon()
  addon.setThreads(1)
  const index = join(folder, 'model.safetensors.index.json')
  const files = existsSync(index)
    ? [...new Set(Object.values<string>(readJson(index).weight_map))]
    : ['model.safetensors']
  const tensors = files.flatMap((file) => tensorsOf(join(folder, file)))
  return addon.loadModel({ config: nativeConfig(folder), dtype, device: 'cpu', tensors })
}

/** An adapter folder in PEFT's layout, over `model`. */
export async function openAdapter(model: NativeModel, folder: string): Promise<NativePolicy> {
  const { r, lora_alpha, use_rslora, target_modules } = readJson(join(folder, 'adapter_config.json'))
  const policy = await model.createPolicy({
    kind: 'lora',
    rank: r,
    scale: lora_alpha / (use_rslora ? Math.sqrt(r) : r),
    targets: target_modules,
    seed: 1,
  })
  await policy.readTensors('weights', tensorsOf(join(folder, 'adapter_model.safetensors')))
  return policy
}
