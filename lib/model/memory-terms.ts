/** Bytes of what one model holds while it generates and while it is trained, from its shape alone. */
import { sum } from '../base/statistics.ts'
import type { NativeLimits, NativeModelConfig } from '../native/addon-types.ts'
import { loadAddon } from '../native/load-addon.ts'
import { architectureSpec, projectionsOf, type Width } from './architecture.ts'
import type { ResolvedSampling } from './sampling.ts'
import type { MomentKind } from './step-options.ts'

/** The shape of a model, as far as its memory goes. */
export type MemoryShape = Pick<
  NativeModelConfig,
  | 'architecture'
  | 'vocabSize'
  | 'hiddenSize'
  | 'intermediateSize'
  | 'numLayers'
  | 'numHeads'
  | 'numKvHeads'
  | 'headDim'
  | 'tieWordEmbeddings'
>

const float = 4

let known: NativeLimits | undefined

/** Sizes that are the core's own. */
const limits = () => (known ??= loadAddon().info().limits)

const widths = (shape: MemoryShape): Record<Width, number> => ({
  hidden: shape.hiddenSize,
  mlp: shape.intermediateSize,
  query: shape.numHeads * shape.headDim,
  key: shape.numKvHeads * shape.headDim,
})

/** Norms of a layer over the whole residual stream. */
function normsOf({ architecture }: MemoryShape): number {
  const { attention, mlp } = architectureSpec(architecture)!
  return [attention.norm_before, attention.norm_after, mlp.norm_before, mlp.norm_after].filter(Boolean).length
}

/** Bytes of one token's keys and values in all layers: float32, whatever the weights are. */
export function cacheBytesPerToken(shape: MemoryShape): number {
  return 2 * float * shape.numLayers * shape.numKvHeads * shape.headDim
}

/** What decides how much of a forward pass is kept. */
export interface ActivationSettings {
  dtype: 'float32' | 'bfloat16'
  /** Of the adapters trained; 0 where all weights are. */
  rank: number
  /** Only each layer's input is kept. */
  checkpointing: boolean
}

/**
 * Bytes that one token's forward pass leaves for the backward pass.
 *
 * A layer in float32, with h the hidden size, Q = heads · headDim, K = kvHeads · headDim and I the MLP's width:
 *
 *     2h          inputs of both norms, whose results are computed again; 4h where there are norms after attention and MLP too
 *     3Q + 3K     queries, keys and values as projected (Q + 2K), rotated queries and keys (Q + K), attention's result (Q)
 *     2I          gate and up, whose product is computed again
 *
 * With adapters also 7·rank, the inner vectors. In bfloat16 attention reads float32 copies and norms keep float32 intermediates:
 * 16h (8h a norm) + 8Q + 8K + 2Q + 8I bytes, results of norms and gates among them. With checkpointing a layer keeps h, and one layer at a
 * time has all of it, with the gradients and copies of computing it again about three times.
 *
 * A seventh is added for what a layer's backward pass makes and drops. Blocks that are freed serve the next tensor of their size
 * (`native/core/block_allocator`), so that nothing is lost to a heap with holes.
 */
export function activationBytesPerToken(shape: MemoryShape, settings: ActivationSettings): number {
  const { hidden: h, mlp: m, query: q, key: k } = widths(shape)
  const { dtype, rank, checkpointing } = settings
  const inner = rank * projectionsOf(shape.architecture).size * float
  const norms = normsOf(shape)
  const layer =
    (dtype === 'float32' ? float * (norms * h + 3 * q + 3 * k + 2 * m) : 8 * norms * h + 10 * q + 8 * k + 8 * m) + inner
  const unit = dtype === 'float32' ? float : 2
  const kept = checkpointing ? unit * h * shape.numLayers + 3 * layer : layer * shape.numLayers
  return kept * 1.15
}

/** Bytes of the short-lived tensors of the widest layer, one token: in a forward pass without gradients. */
function passingBytesPerToken(shape: MemoryShape): number {
  const { hidden: h, mlp: m, query: q, key: k } = widths(shape)
  return float * Math.max(3 * h + 4 * m, 3 * h + 3 * q + 3 * k)
}

/** Bytes of one tile of logits with its gradient's operands, for so many scored tokens. */
export function logitBytes({ vocabSize }: MemoryShape, scoredTokens: number): number {
  const columns = Math.min(vocabSize, limits().tileColumns)
  const rows = Math.min(scoredTokens, Math.max(1, Math.floor(limits().chunkLogits / columns)))
  return 2 * float * rows * columns
}

/**
 * Bytes at most of the set of tokens that a sampler's filters kept at one token, as the sample has it and twice on its way to a pass; 0
 * without filters. A set is a bitmap of the vocabulary, or up to 3 bytes a token of it (`native/core/token_set.h`).
 */
export function keptBytesPerToken(
  { vocabSize }: Pick<MemoryShape, 'vocabSize'>,
  { topK, topP, minP }: Pick<ResolvedSampling, 'topK' | 'topP' | 'minP'>,
): number {
  if (topK === 0 && topP === 1 && minP === 0) return 0
  const bitmap = 1 + Math.ceil(vocabSize / 8)
  return 3 * Math.min(bitmap, topK > 0 ? 3 * (topK + 1) : bitmap)
}

/** Bytes that generation holds besides the cache: a prefill pass, and one step of decoding with its logits. */
export function generationBytes(
  shape: MemoryShape,
  { promptTokens, rows }: { promptTokens: number; rows: number },
): number {
  const { hidden: h, mlp: m, query: q, key: k } = widths(shape)
  const prefill = Math.min(promptTokens, limits().prefillTokens) * passingBytesPerToken(shape)
  const step = rows * float * (3 * h + 3 * m + 4 * q + 2 * k + 2 * shape.vocabSize)
  return Math.max(prefill, step)
}

/** Weights of each tensor of an adapter on some projections; default: on all. */
export function adapterTensors(shape: MemoryShape, rank: number, targets?: readonly string[]): number[] {
  const width = widths(shape)
  const adapted = [...projectionsOf(shape.architecture)].filter(([name]) => targets?.includes(name) ?? true)
  const ofLayer = adapted.flatMap(([, projection]) => [rank * width[projection.in], rank * width[projection.out]])
  return Array.from({ length: shape.numLayers }, () => ofLayer).flat()
}

/** Trainable weights of an adapter, see {@link adapterTensors}. */
export function adapterParameters(shape: MemoryShape, rank: number, targets?: readonly string[]): number {
  return sum(adapterTensors(shape, rank, targets))
}

/** Weights of each tensor of a value head of that hidden size. */
export function valueHeadTensors({ hiddenSize }: MemoryShape, hidden: number): number[] {
  return [hiddenSize * hidden, hidden, hidden, 1]
}

/** Trainable weights of a value head, see {@link valueHeadTensors}. */
export function valueHeadParameters(shape: MemoryShape, hidden: number): number {
  return sum(valueHeadTensors(shape, hidden))
}

/** As in `native/train/moments.h`: numbers that share a scale, and those that a tensor has at least for it. */
const [momentBlock, leastInt8] = [256, 4096]

/** Bytes of AdamW's two moments of tensors that have so many weights. */
export function momentBytes(tensors: readonly number[], kind: MomentKind): number {
  const ofTensor = (weights: number) => {
    if (kind === 'bfloat16') return 4 * weights
    return kind === 'float32' || weights < leastInt8
      ? 2 * float * weights
      : 2 * (weights + float * Math.ceil(weights / momentBlock))
  }
  return sum(tensors.map(ofTensor))
}

/** Tokens of a pass over one policy where nothing is said: keeps activations of small models within a few hundred megabytes. */
const defaultMicroBatch = 2048

/**
 * Tokens of a pass at most. Passes that run side by side over one model (`atOnce`) together hold as much as one.
 *
 * @param given what the user said
 * @param model.policies policies of the batch that are of this model
 */
export function tokensOfPass(given: number | undefined, model: { policies: number; atOnce: number }): number {
  return Math.ceil(given === undefined ? defaultMicroBatch / model.policies : given / model.atOnce)
}
