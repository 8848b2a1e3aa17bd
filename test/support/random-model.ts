/** Model folders of any shape with random weights, for what depends on sizes alone. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelShape } from '../../bench/cases.ts'
import { safetensorsHeader } from '../../lib/model/safetensors.ts'
import { asciiTokenizer } from './tiny-model.ts'

/** Shape of a {@link writeRandomModel}: a Qwen3 with a tied head. */
export interface RandomShape extends ModelShape {
  /** Default: 4096. */
  contextLength?: number
}

/** Writes a float32 model with {@link asciiTokenizer} into a folder that exists. Every weight is one of a few thousand small numbers. */
export function writeRandomModel(folder: string, shape: RandomShape): void {
  const { layers, hidden, heads, kvHeads, headDim, mlp, vocab, contextLength = 4096 } = shape
  const config = {
    model_type: 'qwen3',
    dtype: 'float32',
    vocab_size: vocab,
    hidden_size: hidden,
    intermediate_size: mlp,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    max_position_embeddings: contextLength,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    tie_word_embeddings: true,
    sliding_window: null,
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(asciiTokenizer()))
  const ofLayer: [string, number[]][] = [
    ['input_layernorm', [hidden]],
    ['self_attn.q_proj', [heads * headDim, hidden]],
    ['self_attn.k_proj', [kvHeads * headDim, hidden]],
    ['self_attn.v_proj', [kvHeads * headDim, hidden]],
    ['self_attn.q_norm', [headDim]],
    ['self_attn.k_norm', [headDim]],
    ['self_attn.o_proj', [hidden, heads * headDim]],
    ['post_attention_layernorm', [hidden]],
    ['mlp.gate_proj', [mlp, hidden]],
    ['mlp.up_proj', [mlp, hidden]],
    ['mlp.down_proj', [hidden, mlp]],
  ]
  const tensors = [
    { name: 'model.embed_tokens.weight', shape: [vocab, hidden] },
    ...Array.from({ length: layers }, (_, layer) =>
      ofLayer.map(([name, size]) => ({ name: `model.layers.${layer}.${name}.weight`, shape: size })),
    ).flat(),
    { name: 'model.norm.weight', shape: [hidden] },
  ].map((tensor) => ({ ...tensor, dtype: 'F32' as const }))
  const file = openSync(join(folder, 'model.safetensors'), 'w')
  writeSync(file, safetensorsHeader(tensors, {}))
  // A prime number of values, so that no two rows of a matrix are equal.
  const values = Float32Array.from({ length: 8191 }, (_, i) => 0.04 * Math.sin(i * i))
  const block = Buffer.from(values.buffer)
  for (const { shape: size } of tensors) {
    let left = 4 * size.reduce((product, extent) => product * extent, 1)
    for (; left > block.length; left -= block.length) writeSync(file, block)
    writeSync(file, block, 0, left)
  }
  closeSync(file)
}
