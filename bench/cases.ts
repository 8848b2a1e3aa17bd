/** Models and shapes of the trials, and the inputs made from them. Both sides get the same numbers from here. */

/** Shape of a model made for the benchmark: Qwen3, random weights, tied head. */
export interface ModelShape {
  layers: number
  hidden: number
  heads: number
  kvHeads: number
  headDim: number
  mlp: number
  vocab: number
}

/** The models: `bigv` is the body of `tiny` under the vocabulary of Qwen3. */
export const models: Readonly<Record<string, ModelShape>> = {
  tiny: { layers: 4, hidden: 256, heads: 8, kvHeads: 4, headDim: 32, mlp: 768, vocab: 4096 },
  m30: { layers: 8, hidden: 512, heads: 8, kvHeads: 4, headDim: 64, mlp: 1536, vocab: 8192 },
  bigv: { layers: 4, hidden: 256, heads: 8, kvHeads: 4, headDim: 32, mlp: 768, vocab: 151936 },
}

/** The team and its samples, the same in all trials. */
export const agents = 2
export const groupSize = 8
export const newTokens = 64
export const learningRate = 1e-5
export const adapterRank = 16
/** Lengths of the eight completions of `ragged`. */
export const raggedLengths: readonly number[] = [8, 8, 12, 12, 16, 16, 24, 96]

/** Inputs of a trial: token ids and weights, as plain numbers. */
export interface Inputs {
  /** The prompt that all samples share. */
  promptIds: number[]
  /** (groupSize, newTokens) completions to be scored and trained. */
  completions: number[][]
  /** (groupSize) of mean 0 and standard deviation 1. */
  advantages: number[]
}

/**
 * Random numbers in [0, 1) that are the same everywhere (xorshift32, Marsaglia 2003).
 *
 * @param seed any integer but 0
 */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Prompt, completions and advantages for a vocabulary; ids below 3 are left out, they have a meaning. */
export function makeInputs(vocab: number, promptTokens: number, seed = 7): Inputs {
  const random = randomNumbers(seed)
  const ids = (count: number) => Array.from({ length: count }, () => 3 + Math.floor(random() * (vocab - 3)))
  const promptIds = ids(promptTokens)
  const completions = Array.from({ length: groupSize }, () => ids(newTokens))
  const raw = Array.from({ length: groupSize }, (_, g) => g / groupSize)
  const mean = raw.reduce((sum, value) => sum + value, 0) / groupSize
  const deviation = Math.sqrt(raw.reduce((sum, value) => sum + (value - mean) ** 2, 0) / groupSize)
  return { promptIds, completions, advantages: raw.map((value) => (value - mean) / deviation) }
}

/**
 * Operations of one pass over a prompt and the completions behind it, a multiply-add counted as two: attention included, the head on
 * completions only.
 */
export function forwardOperations(
  shape: ModelShape,
  promptTokens: number,
  rows: number,
  completionTokens: number,
): number {
  const { layers, hidden, heads, kvHeads, headDim, mlp, vocab } = shape
  const tokens = promptTokens + rows * completionTokens
  const perToken = 2 * layers * (hidden * headDim * (2 * heads + 2 * kvHeads) + 3 * hidden * mlp)
  // Keys that a query sees: those before it on its own path, itself included.
  const ofPrompt = (promptTokens * (promptTokens + 1)) / 2
  const ofCompletion = completionTokens * promptTokens + (completionTokens * (completionTokens + 1)) / 2
  const attention = 4 * layers * heads * headDim * (ofPrompt + rows * ofCompletion)
  const head = 2 * hidden * vocab * rows * completionTokens
  return tokens * perToken + attention + head
}

/** Operations of an update; backward costs twice the forward pass, what is formed a second time there is not counted. */
export function updateOperations(...work: Parameters<typeof forwardOperations>): number {
  return 3 * forwardOperations(...work)
}
