/**
 * A decoder of the Llama line, or Gemma 3, in plain float64 loops, to hold gradients against: slow, without batches, caches or sharing.
 * Default rotary settings only.
 */
import type { ModelConfig } from '../../lib/model/config.ts'

/** Row-major numbers of each tensor, by checkpoint name. */
export type NaiveWeights = Map<string, Float64Array>

/** Natural log-probability of each id of the text but its first. */
export function naiveLogProbs(config: ModelConfig, weights: NaiveWeights, ids: readonly number[]): number[] {
  const { hiddenSize: width, vocabSize, numHeads, numKvHeads, headDim, rmsNormEps } = config
  const tensor = (name: string): Float64Array => {
    const found = weights.get(name)
    if (found === undefined) throw new Error(`no tensor ${name}`)
    return found
  }
  const embedding = tensor('model.embed_tokens.weight')
  const isGemma = config.architecture === 'gemma3_text'
  const scale = isGemma ? Math.sqrt(width) : 1
  let x = ids.map((id) => [...embedding.subarray(id * width, (id + 1) * width)].map((value) => value * scale))
  const norm = (row: readonly number[], scale: Float64Array) => {
    const mean = row.reduce((sum, value) => sum + value * value, 0) / row.length
    return row.map((value, i) => (value / Math.sqrt(mean + rmsNormEps)) * (scale[i]! + (isGemma ? 1 : 0)))
  }
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `model.layers.${layer}`
    const project = (row: readonly number[], name: string) => {
      const bias = weights.get(`${prefix}.${name}.bias`)
      return multiply(tensor(`${prefix}.${name}.weight`), row).map((value, i) => value + (bias?.[i] ?? 0))
    }
    const window = config.slidingWindows[layer] || Number.POSITIVE_INFINITY
    const heads = (row: readonly number[], name: string, count: number, position: number) =>
      Array.from({ length: count }, (_, head) => {
        const part = row.slice(head * headDim, (head + 1) * headDim)
        const normed = config.qkNorm ? norm(part, tensor(`${prefix}.self_attn.${name}_norm.weight`)) : part
        return rotate(
          normed,
          position,
          (config.slidingWindows[layer] ? (config.slidingRope ?? config.rope) : config.rope).theta,
        )
      })
    const normed = x.map((row) => norm(row, tensor(`${prefix}.input_layernorm.weight`)))
    const queries = normed.map((row, t) => heads(project(row, 'self_attn.q_proj'), 'q', numHeads, t))
    const keys = normed.map((row, t) => heads(project(row, 'self_attn.k_proj'), 'k', numKvHeads, t))
    const values = normed.map((row) => project(row, 'self_attn.v_proj'))
    x = x.map((row, t) => {
      const mixed = queries[t]!.flatMap((query, head) => {
        const kvHead = Math.floor((head * numKvHeads) / numHeads)
        const scores = keys
          .slice(0, t + 1)
          .map((key, at) =>
            t - at < window ? dot(query, key[kvHead]!) / Math.sqrt(config.queryScalar) : Number.NEGATIVE_INFINITY,
          )
        const shares = softmax(scores)
        return Array.from({ length: headDim }, (_, d) =>
          shares.reduce((sum, share, at) => sum + share * values[at]![kvHead * headDim + d]!, 0),
        )
      })
      const projected = project(mixed, 'self_attn.o_proj')
      const out = isGemma ? norm(projected, tensor(`${prefix}.post_attention_layernorm.weight`)) : projected
      return row.map((value, i) => value + out[i]!)
    })
    x = x.map((row) => {
      const before = isGemma ? 'pre_feedforward_layernorm' : 'post_attention_layernorm'
      const inner = norm(row, tensor(`${prefix}.${before}.weight`))
      const up = project(inner, 'mlp.up_proj')
      const gated = project(inner, 'mlp.gate_proj').map(
        (gate, i) => (isGemma ? geluTanh(gate) : gate / (1 + Math.exp(-gate))) * up[i]!,
      )
      const projected = project(gated, 'mlp.down_proj')
      const out = isGemma ? norm(projected, tensor(`${prefix}.post_feedforward_layernorm.weight`)) : projected
      return row.map((value, i) => value + out[i]!)
    })
  }
  const head = config.tieWordEmbeddings ? embedding : tensor('lm_head.weight')
  return ids.slice(1).map((id, t) => {
    const logits = multiply(head, norm(x[t]!, tensor('model.norm.weight')))
    const highest = Math.max(...logits)
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0)
    if (logits.length !== vocabSize) throw new Error(`Expected ${vocabSize} logits but got ${logits.length}`)
    return logits[id]! - highest - Math.log(sum)
  })
}

function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}

function softmax(scores: readonly number[]): number[] {
  const highest = Math.max(...scores)
  const powers = scores.map((score) => Math.exp(score - highest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

/** matrix (rows, columns) times a column. */
function multiply(matrix: Float64Array, column: readonly number[]): number[] {
  const columns = column.length
  return Array.from({ length: matrix.length / columns }, (_, row) => {
    let sum = 0
    for (let i = 0; i < columns; i++) sum += matrix[row * columns + i]! * column[i]!
    return sum
  })
}

/** Rotates the pairs (i, i + D/2) of a head by position · theta^(-2i/D). */
function rotate(head: readonly number[], position: number, theta: number): number[] {
  const half = head.length / 2
  return head.map((value, i) => {
    const angle = position * theta ** (-(i % half) / half)
    const other = i < half ? -head[i + half]! : head[i - half]!
    return value * Math.cos(angle) + other * Math.sin(angle)
  })
}
