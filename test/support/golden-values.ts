/** The shape of `test/golden/<case>/golden.json`, and how computed numbers are compared with it. */
import type { ExecutionContext } from 'ava'
import type { NativeTokenTree } from '../../lib/native/addon-types.ts'
import { uniform } from './golden-models.ts'

/** Expected values of one prompt. */
export interface GoldenPrompt {
  ids: number[]
  /** (V) after the last id. */
  logits: number[]
  /** Log-probability of each id but the first. */
  promptLogProbs: number[]
  greedy: number[]
  finish: 'stop' | 'length'
}

/** A prompt with completions and the weights of their tokens. */
export interface GoldenGroup {
  prompt: number[]
  completions: { ids: number[]; weights: number[] }[]
}

/** One completion's expected scores. */
export interface GoldenScore {
  logProbs: number[]
  entropies: number[]
}

/** What is kept of one tensor; `noise` is how much another order of the same sums changes it, relative to its numbers' size. */
export interface GoldenSummary {
  norm: number
  projections: number[]
  values?: number[]
  samples?: number[]
  noise: number
}

/** Gradient of the groups' weighted log-probs, and three optimizer steps on it. */
export interface GoldenTraining {
  gradients: Record<string, GoldenSummary>
  steps: {
    gradNorms: number[]
    scoresAfter: GoldenScore[]
    weightsAfter: Record<string, GoldenSummary>
  }
}

/** Expected values of an adapter; training only for the folder `adapter`. */
export type GoldenAdapter = { logits: number[][]; scores: GoldenScore[] } & Partial<GoldenTraining>

/** `golden.json` of one model. */
export interface Golden {
  tolerance: { logits: number; logProbs: number; gradientsRelative: number }
  prompts: GoldenPrompt[]
  groups: GoldenGroup[]
  /** One per completion, in the order of the groups. */
  scores: GoldenScore[]
  optimizer: {
    learningRates: number[]
    betas: [number, number]
    epsilon: number
    weightDecay: number
    maxGradNorm: number
  }
  full: GoldenTraining
  adapters: Record<string, GoldenAdapter>
  bfloat16: { logits: number[][]; rounded: number[][]; rmsDifference: number }
}

/** All groups as one token tree: a segment a prompt, with its completions as children. */
export interface GroupTree {
  tree: NativeTokenTree
  /** (N) 1 for completion tokens. */
  scored: Uint8Array
  /** (N) the completion tokens' weights. */
  weights: Float32Array
  /** Where each completion's tokens stand in the tree. */
  spans: { begin: number; end: number }[]
}

/**
 * @param groups prompts with completions
 * @param policy index of the policy of every segment; -1 for the bare base
 */
export function treeOfGroups(groups: readonly GoldenGroup[], policy: number): GroupTree {
  const parent: number[] = []
  const offset = [0]
  const ids: number[] = []
  const scored: number[] = []
  const weights: number[] = []
  const spans: GroupTree['spans'] = []
  const segment = (above: number, tokens: number[], tokenWeights?: number[]) => {
    parent.push(above)
    ids.push(...tokens)
    scored.push(...tokens.map(() => (tokenWeights ? 1 : 0)))
    weights.push(...(tokenWeights ?? tokens.map(() => 0)))
    offset.push(ids.length)
    return parent.length - 1
  }
  for (const group of groups) {
    const prompt = segment(-1, group.prompt)
    for (const completion of group.completions) {
      spans.push({ begin: ids.length, end: ids.length + completion.ids.length })
      segment(prompt, completion.ids, completion.weights)
    }
  }
  return {
    tree: {
      parent: Int32Array.from(parent),
      offset: Int32Array.from(offset),
      ids: Int32Array.from(ids),
      policy: new Int32Array(parent.length).fill(policy),
    },
    scored: Uint8Array.from(scored),
    weights: Float32Array.from(weights),
    spans,
  }
}

/** Asserts that no number differs by more than `tolerance`, and that there are as many. */
export function closeTo(
  t: ExecutionContext,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  t.is(actual.length, expected.length, `${what}: length`)
  let worst = 0
  let at = 0
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN))
    if (!(difference <= worst)) [worst, at] = [difference, i]
  }
  t.true(worst <= tolerance, `${what}: ${actual[at]} for ${expected[at]} at ${at}, differs by ${worst} > ${tolerance}`)
}

/**
 * Asserts that a tensor fits its summary: each kept number within `relative` of itself or of the tensor's root mean square,
 * whichever is larger, and the norm and projections within `relative` of the norm.
 */
export function fitsSummary(
  t: ExecutionContext,
  name: string,
  actual: Float32Array,
  expected: GoldenSummary,
  relative: number,
): void {
  const norm = Math.sqrt(actual.reduce((sum, x) => sum + x * x, 0))
  const size = expected.norm / Math.sqrt(actual.length)
  const kept =
    expected.values === undefined
      ? Array.from({ length: 12 }, (_, i) => actual[Math.floor((i * (actual.length - 1)) / 11)] ?? Number.NaN)
      : [...actual]
  const numbers = expected.values ?? expected.samples ?? []
  t.is(kept.length, numbers.length, `${name}: length`)
  numbers.forEach((number, i) => {
    const allowed = relative * Math.max(Math.abs(number), size)
    const got = kept[i] ?? Number.NaN
    t.true(Math.abs(got - number) <= allowed, `${name}: number ${i} is ${got} for ${number}, allowed ${allowed}`)
  })
  const allowed = relative * expected.norm
  t.true(Math.abs(norm - expected.norm) <= allowed, `${name}: norm ${norm} for ${expected.norm}`)
  expected.projections.forEach((projection, p) => {
    const vector = uniform(`projection/${p}/${name}`, actual.length)
    const product = actual.reduce((sum, x, i) => sum + x * (vector[i] ?? 0), 0)
    t.true(Math.abs(product - projection) <= allowed, `${name}: projection ${p} is ${product} for ${projection}`)
  })
}

/** Root mean square of the differences. */
export function rmsDifference(one: ArrayLike<number>, two: ArrayLike<number>): number {
  const squares = Array.from(one, (x, i) => (x - (two[i] ?? Number.NaN)) ** 2)
  return Math.sqrt(squares.reduce((sum, x) => sum + x, 0) / squares.length)
}
