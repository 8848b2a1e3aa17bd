/** Random weights of a tied Qwen3 model, to train from. */
import { writeFile } from 'node:fs/promises'
import { safetensorsHeader } from '../../lib/model/safetensors.ts'
import type { NativeTensorInfo } from '../../lib/native/addon-types.ts'
import { seededRandom } from '../../lib/tasks/mini-code/random.ts'

/** The fields of `config.json` that shape a model. */
export interface Shape {
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  num_key_value_heads: number
  head_dim: number
  initializer_range: number
}

/**
 * Writes `model.safetensors` in float32: ones for norms, normal numbers of deviation `initializer_range` for all else, as
 * transformers start a model.
 */
export async function writeInitialWeights(file: string, shape: Shape, seed: number): Promise<void> {
  const tensors = tensorsOf(shape)
  const random = seededRandom(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const data = tensors.map((tensor) => {
    const length = tensor.shape.reduce((product, size) => product * size, 1)
    const isNorm = tensor.name.endsWith('norm.weight')
    return Float32Array.from({ length }, () => (isNorm ? 1 : shape.initializer_range * normal()))
  })
  const parts = data.map(({ buffer }) => new Uint8Array(buffer))
  await writeFile(file, Buffer.concat([safetensorsHeader(tensors, { format: 'pt' }), ...parts]))
}

function tensorsOf(shape: Shape): NativeTensorInfo[] {
  const { hidden_size: width, head_dim: head, intermediate_size: inner } = shape
  const query = shape.num_attention_heads * head
  const key = shape.num_key_value_heads * head
  const named = (name: string, ...size: number[]): NativeTensorInfo => ({
    name: `${name}.weight`,
    dtype: 'F32',
    shape: size,
  })
  const layers = Array.from({ length: shape.num_hidden_layers }, (_, index) => {
    const at = `model.layers.${index}`
    return [
      named(`${at}.input_layernorm`, width),
      named(`${at}.self_attn.q_proj`, query, width),
      named(`${at}.self_attn.k_proj`, key, width),
      named(`${at}.self_attn.v_proj`, key, width),
      named(`${at}.self_attn.o_proj`, width, query),
      named(`${at}.self_attn.q_norm`, head),
      named(`${at}.self_attn.k_norm`, head),
      named(`${at}.post_attention_layernorm`, width),
      named(`${at}.mlp.gate_proj`, inner, width),
      named(`${at}.mlp.up_proj`, inner, width),
      named(`${at}.mlp.down_proj`, width, inner),
    ]
  })
  return [named('model.embed_tokens', shape.vocab_size, width), ...layers.flat(), named('model.norm', width)]
}
