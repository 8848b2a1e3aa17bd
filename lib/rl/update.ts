/** One update: gradients of all groups, then one optimizer step a policy. */
import type { StepOptions, StepResult } from '../model/types.ts'
import type { Engine } from './engine.ts'
import type { TrainGroup } from './signals.ts'

/** How gradients are computed. */
export interface UpdateOptions {
  /** Pieces, cut between groups. */
  minibatches: number
  maxTokensPerMicroBatch?: number
  signal?: AbortSignal
}

/** What computing the gradients told. */
export interface Accumulated {
  /** Prompt and completion tokens that went through the model. */
  tokens: number
  /** Largest |sampler's − trainer's log-probability| of any trained token; 0 without tokens. */
  logProbDifferenceMax: number
}

/** Cuts a list into at most `count` pieces whose sizes differ by at most one; no piece is empty. */
export function cutIntoPieces<T>(list: readonly T[], count: number): T[][] {
  const pieces = Math.min(count, list.length)
  return Array.from({ length: pieces }, (_, i) =>
    list.slice(Math.floor((i * list.length) / pieces), Math.floor(((i + 1) * list.length) / pieces)),
  )
}

/**
 * Accumulates the gradients of all groups. Weights are already divided by the whole step's total, so that the pieces
 * only add up.
 */
export async function accumulate(
  engine: Engine,
  groups: readonly TrainGroup[],
  options: UpdateOptions,
): Promise<Accumulated> {
  const total: Accumulated = { tokens: 0, logProbDifferenceMax: 0 }
  for (const piece of cutIntoPieces(groups, options.minibatches)) {
    options.signal?.throwIfAborted()
    const { scores } = await engine.accumulate(
      piece.map(({ group }) => group),
      { signal: options.signal, maxTokensPerMicroBatch: options.maxTokensPerMicroBatch },
    )
    for (const [index, { group, sampledLogProbs }] of piece.entries()) {
      total.tokens += group.promptIds.length
      for (const [completion, sampled] of sampledLogProbs.entries()) {
        total.tokens += sampled.length
        const difference = largestDifference(sampled, scores[index]!.logProbs[completion]!)
        total.logProbDifferenceMax = Math.max(total.logProbDifferenceMax, difference)
      }
    }
  }
  return total
}

/**
 * Steps every policy that has a gradient, one after the other. A policy whose groups were all equal has none: it stays
 * as it is, momentum and weight decay included, as plain gradient ascent on equation 2 would leave it.
 *
 * @returns results by policy
 */
export async function stepPolicies(
  engine: Engine,
  groups: readonly TrainGroup[],
  options: StepOptions,
): Promise<Map<number, StepResult>> {
  const results = new Map<number, StepResult>()
  for (const { group } of groups) {
    if (!results.has(group.policy)) results.set(group.policy, await engine.step(group.policy, options))
  }
  return results
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  let most = 0
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!))
  return most
}
