/**
 * Writes the golden models of `test/golden` as Hugging Face folders. Their weights are a formula (`test/golden/formula.py`),
 * so that none are stored; `golden.json` has the sha256 sum of what must come out.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { goldenDir } from './fixtures.ts'

const folders: string[] = []
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** The settings of config.json that shapes depend on. */
export interface GoldenConfig {
  model_type: 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'gemma3_text'
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  num_key_value_heads: number
  head_dim?: number
  attention_bias?: boolean
  mlp_bias?: boolean
  tie_word_embeddings?: boolean
}

/** One tensor of a golden model: its checkpoint name, shape and row-major numbers. */
export interface GoldenTensor {
  name: string
  shape: number[]
  data: Float32Array
}

/**
 * Number `index` of the stream `name`, a multiple of 2^-23 in [-1, 1): FNV-1a of the name, plus index times the golden ratio,
 * through MurmurHash3's finaliser.
 */
export function uniform(name: string, count: number): Float64Array {
  let seed = 0x811c9dc5
  for (const byte of Buffer.from(name)) seed = Math.imul(seed ^ byte, 0x01000193)
  return Float64Array.from({ length: count }, (_, index) => {
    let h = Math.imul(index, 0x9e3779b9) + seed
    h ^= h >>> 16
    h = Math.imul(h, 0x85ebca6b)
    h ^= h >>> 13
    h = Math.imul(h, 0xc2b2ae35)
    h ^= h >>> 16
    return (h >>> 8) / 2 ** 23 - 1
  })
}

/** Checkpoint names and shapes of a golden model, in file order. */
export function goldenShapes(config: GoldenConfig): { name: string; shape: number[] }[] {
  const { hidden_size: width, intermediate_size: inner } = config
  const headDim = config.head_dim ?? width / config.num_attention_heads
  const queries = config.num_attention_heads * headDim
  const keys = config.num_key_value_heads * headDim
  const qkvBias = config.model_type === 'qwen2' || config.attention_bias === true
  const linear = (name: string, rows: number, columns: number, bias: boolean) => [
    { name: `${name}.weight`, shape: [rows, columns] },
    ...(bias ? [{ name: `${name}.bias`, shape: [rows] }] : []),
  ]
  const layer = (prefix: string) => [
    { name: `${prefix}.input_layernorm.weight`, shape: [width] },
    { name: `${prefix}.post_attention_layernorm.weight`, shape: [width] },
    ...linear(`${prefix}.self_attn.q_proj`, queries, width, qkvBias),
    ...linear(`${prefix}.self_attn.k_proj`, keys, width, qkvBias),
    ...linear(`${prefix}.self_attn.v_proj`, keys, width, qkvBias),
    ...linear(`${prefix}.self_attn.o_proj`, width, queries, config.attention_bias === true),
    ...(config.model_type === 'gemma3_text'
      ? ['pre', 'post'].map((side) => ({ name: `${prefix}.${side}_feedforward_layernorm.weight`, shape: [width] }))
      : []),
    ...(config.model_type === 'qwen3' || config.model_type === 'gemma3_text'
      ? ['q_norm', 'k_norm'].map((norm) => ({ name: `${prefix}.self_attn.${norm}.weight`, shape: [headDim] }))
      : []),
    ...linear(`${prefix}.mlp.gate_proj`, inner, width, config.mlp_bias === true),
    ...linear(`${prefix}.mlp.up_proj`, inner, width, config.mlp_bias === true),
    ...linear(`${prefix}.mlp.down_proj`, width, inner, config.mlp_bias === true),
  ]
  const shapes = [
    { name: 'model.embed_tokens.weight', shape: [config.vocab_size, width] },
    ...Array.from({ length: config.num_hidden_layers }, (_, index) => layer(`model.layers.${index}`)).flat(),
    { name: 'model.norm.weight', shape: [width] },
    ...((config.tie_word_embeddings ?? config.model_type === 'gemma3_text')
      ? []
      : [{ name: 'lm_head.weight', shape: [config.vocab_size, width] }]),
  ]
  return shapes.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The tensors of the golden model `name` with these settings, sorted by name. */
export function goldenTensors(name: string, config: GoldenConfig): GoldenTensor[] {
  return goldenShapes(config).map(({ name: tensor, shape }) => {
    // Gemma 3 adds 1 to the weights of its norms.
    const norm = name.startsWith('gemma3') ? (tensor === 'model.norm.weight' ? -0.5 : 0.5) : 1
    const [centre, scale] = tensor.endsWith('norm.weight') ? [norm, 0.5] : [0, 0.3]
    const count = shape.reduce((product, length) => product * length, 1)
    const data = Float32Array.from(uniform(`${name}/${tensor}`, count), (u) => centre + scale * u)
    return { name: tensor, shape, data }
  })
}

/** sha256 of all numbers' bytes, in the order given. */
export function tensorsSha256(tensors: readonly GoldenTensor[]): string {
  const hash = createHash('sha256')
  for (const { data } of tensors) hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return hash.digest('hex')
}

/** The bytes of a safetensors file of float32 tensors. */
export function safetensorsBytes(tensors: readonly GoldenTensor[]): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const { name, shape, data } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] }
    offset += data.byteLength
  }
  const text = JSON.stringify(header)
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  const parts = tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return Buffer.concat([length, padded, ...parts])
}

/**
 * Writes a golden model into a new temporary folder, which goes when the process ends.
 *
 * @param name folder below `test/golden`, for example `qwen3-tied`
 * @param configFile which spelling of its settings becomes `config.json`; defaults to `config.json`
 * @returns the folder: config.json, model.safetensors, and generation_config.json where the case has one
 */
export function goldenModel(name: string, configFile = 'config.json'): string {
  const folder = mkdtempSync(join(tmpdir(), `magrpo-golden-${name}-`))
  folders.push(folder)
  copyFileSync(join(goldenDir(name), configFile), join(folder, 'config.json'))
  const generation = join(goldenDir(name), 'generation_config.json')
  if (existsSync(generation)) copyFileSync(generation, join(folder, 'generation_config.json'))
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as GoldenConfig
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(goldenTensors(name, config)))
  return folder
}
