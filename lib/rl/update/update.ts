/** Updates from one rollout: gradients of all groups, then one optimizer step a policy; once or several times. */

import type { StepOptions } from '../../model/step-options.ts'
import type { LossOptions, StepResult } from '../../model/types.ts'
import type { Engine, EngineScoreOptions } from '../backend/engine.ts'
import type { Algorithm } from '../options/algorithm.ts'
import type { TrainGroup } from './train-groups.ts'

/** How gradients are computed. */
interface AccumulateOptions extends EngineScoreOptions {
  /** Pieces, cut between groups. */
  minibatches: number
  loss?: LossOptions
}

/** What computing the gradients told. */
interface Accumulated {
  /** Prompt and completion tokens that went through the model. */
  tokens: number
  /** Largest |sampler's − trainer's log-probability| of any trained token; 0 without tokens. */
  logProbDifferenceMax: number
  /** Tokens with a weight, and those of them whose ratio was clipped, so that they had no gradient. */
  weighted: number
  clipped: number
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
  options: AccumulateOptions,
): Promise<Accumulated> {
  const { minibatches, loss, signal, maxTokensPerMicroBatch, sampling } = options
  const total: Accumulated = { tokens: 0, logProbDifferenceMax: 0, weighted: 0, clipped: 0 }
  for (const piece of cutIntoPieces(groups, minibatches)) {
    signal?.throwIfAborted()
    const { scores } = await engine.accumulate(groupsOf(piece), { signal, maxTokensPerMicroBatch, loss, sampling })
    for (const [index, { group, sampledLogProbs }] of piece.entries()) {
      total.tokens += group.promptIds.length
      for (const [completion, { ids, weights }] of group.completions.entries()) {
        total.tokens += ids.length
        look(total, scores[index]!.logProbs[completion]!, sampledLogProbs[completion]!, weights, loss?.clip)
      }
    }
  }
  return total
}

const groupsOf = (entries: readonly TrainGroup[]) => entries.map(({ group }) => group)

/** Adds what one completion's new log-probabilities tell beside the sampler's. */
function look(
  total: Accumulated,
  logProbs: Float32Array,
  sampled: Float32Array,
  weights: Float32Array | undefined,
  clip: LossOptions['clip'],
): void {
  for (let i = 0; i < sampled.length; i++) {
    const difference = logProbs[i]! - sampled[i]!
    total.logProbDifferenceMax = Math.max(total.logProbDifferenceMax, Math.abs(difference))
    const weight = weights?.[i] ?? 0
    if (weight === 0) continue
    total.weighted++
    if (clip === undefined) continue
    const ratio = Math.exp(difference)
    if (weight > 0 ? ratio > 1 + clip.high : ratio < 1 - clip.low) total.clipped++
  }
}

/**
 * Steps every policy that has a gradient, those of several devices or ranks at the same time. A policy whose groups were all equal has
 * none: it stays as it is, momentum and weight decay included, as plain gradient ascent on equation 2 would leave it.
 *
 * @param optionsOf settings by policy
 * @param beforeStep called before each step of a policy
 * @returns results by policy
 */
export async function stepPolicies(
  engine: Engine,
  groups: readonly TrainGroup[],
  optionsOf: (policy: number) => StepOptions,
  beforeStep: () => void = () => {},
): Promise<Map<number, StepResult>> {
  const policies = [...new Set(groupsOf(groups).map(({ policy }) => policy))]
  const steps = policies.map(async (policy): Promise<[number, StepResult]> => {
    beforeStep()
    return [policy, await engine.step(policy, optionsOf(policy))]
  })
  // Not until all have ended, also if one fails: weights move until then.
  await Promise.allSettled(steps)
  return new Map(await Promise.all(steps))
}

/** What {@link update} does. */
interface UpdatePlan extends EngineScoreOptions {
  /** Of the agents' policies, shared value heads included. */
  groups: readonly TrainGroup[]
  /** Of separate critics. */
  criticGroups: readonly TrainGroup[]
  algorithm: Algorithm
  minibatches: number
  optionsOf: (policy: number) => StepOptions
  /** Asked before the first step of a policy: whether all ranks go on. It throws if not. */
  commit?: () => Promise<void>
  /** Called before each step of a policy; from the first call on weights change. */
  beforeStep?: () => void
}

/** What all updates of a rollout did. */
interface Updated {
  /** Tokens that went through the models, over all updates. */
  tokens: number
  /** Of the first update, where sampler and trainer should agree. */
  logProbDifferenceMax: number
  /** Share of the trained tokens whose ratio was clipped, over all updates. */
  clippedShare: number
  /** Results of the last update by policy. */
  results: Map<number, StepResult>
  /** Policies of which an update was skipped because its gradient was not finite. */
  skipped: Set<number>
}

/**
 * `algorithm.updatesPerRollout` updates from the same samples.
 *
 * The signal is looked at until the optimizer first moves, and not after it, so that all updates happen or none does.
 *
 * @throws the signal's reason
 */
export async function update(engine: Engine, plan: UpdatePlan): Promise<Updated> {
  const { algorithm, minibatches, maxTokensPerMicroBatch, optionsOf, beforeStep } = plan
  const loss = lossOf(algorithm)
  const valueClip = algorithm.critic?.clip ?? null
  const skipped = new Set<number>()
  let [tokens, logProbDifferenceMax, weighted, clipped] = [0, 0, 0, 0]
  let results = new Map<number, StepResult>()
  for (let index = 0; index < algorithm.updatesPerRollout; index++) {
    const options = { minibatches, maxTokensPerMicroBatch, signal: index === 0 ? plan.signal : undefined }
    let { groups, criticGroups } = plan
    if (index > 0 && valueClip !== null) {
      groups = await withClippedValues(engine, groups, valueClip, options)
      criticGroups = await withClippedValues(engine, criticGroups, valueClip, options)
    }
    const policies = await accumulate(engine, groups, { ...options, loss, sampling: plan.sampling })
    const critics = await accumulate(engine, criticGroups, options)
    options.signal?.throwIfAborted()
    if (index === 0) await plan.commit?.()
    if (index === 0) logProbDifferenceMax = policies.logProbDifferenceMax
    tokens += policies.tokens + critics.tokens
    weighted += policies.weighted
    clipped += policies.clipped
    results = await stepPolicies(engine, [...groups, ...criticGroups], optionsOf, beforeStep)
    for (const [policy, result] of results) if (result.skipped) skipped.add(policy)
  }
  return { tokens, logProbDifferenceMax, clippedShare: weighted === 0 ? 0 : clipped / weighted, results, skipped }
}

/** The terms of the loss besides the weights; undefined for Σ w·log π alone. */
export function lossOf({ clip, kl, entropyCoefficient }: Algorithm): LossOptions | undefined {
  const penalty = kl?.as === 'loss' ? { estimator: kl.estimator, coefficient: kl.coefficient } : undefined
  if (clip === null && penalty === undefined && entropyCoefficient === 0) return undefined
  return { ...(clip !== null && { clip }), ...(penalty && { kl: penalty }), entropyCoefficient }
}

/**
 * The groups without the value targets that PPO's value clipping leaves without a gradient: the loss
 * max((target - V)², (target - V_old - clamp(V - V_old, ±clip))²) is flat in V where its second part is the larger one and
 * V is out of the range, and (target - V)² everywhere else.
 */
async function withClippedValues(
  engine: Engine,
  groups: readonly TrainGroup[],
  clip: number,
  options: EngineScoreOptions,
): Promise<readonly TrainGroup[]> {
  if (groups.every(({ oldValues }) => oldValues === undefined)) return groups
  const { signal, maxTokensPerMicroBatch } = options
  const { scores } = await engine.score(groupsOf(groups), { signal, maxTokensPerMicroBatch })
  return groups.map((entry, index) => {
    const { group, oldValues } = entry
    if (oldValues === undefined) return entry
    const completions = group.completions.map((completion, g) => {
      const isFlat = isValueClipped(scores[index]!.values![g]!, oldValues[g]!, completion.valueTarget!, clip)
      return isFlat ? { ...completion, valueWeight: 0 } : completion
    })
    return { ...entry, group: { ...group, completions } }
  })
}

/** Whether the clipped value loss is flat at a value, see {@link withClippedValues}. */
export function isValueClipped(value: number, old: number, target: number, clip: number): boolean {
  const moved = value - old
  if (Math.abs(moved) <= clip) return false
  const clamped = old + Math.sign(moved) * clip
  return (target - clamped) ** 2 > (target - value) ** 2
}
