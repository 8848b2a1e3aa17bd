/** Log-probabilities, values and gradients over policies and models: one pass over a token tree for each model. */
import { MagrpoError } from '../errors.ts'
import type { NativeAccumulateRequest, NativeScoreResult } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import type { Model } from './model.ts'
import { byModel, checkLength, checkPrompt, TreeBuilder, takeOneThreadEach, throwFirst } from './token-tree.ts'
import type { GroupScores, LossOptions, ScoredCompletion, ScoredGroup } from './types.ts'

/** How a pass is cut and stopped. */
export interface BatchOptions {
  signal?: AbortSignal
  /** Tokens of one forward and backward pass at most; cut between prompts. Defaults to `2048`. */
  maxTokensPerMicroBatch?: number
}

/** Keeps activations of small models within a few hundred megabytes. */
const defaultMicroBatch = 2048

/** Log-probabilities, entropies and (where asked for) values of all groups, in order; nothing is accumulated. */
export function scoreBatch(
  groups: readonly ScoredGroup[],
  options: BatchOptions = {},
): Promise<{ scores: GroupScores[]; seconds: number }> {
  return pass(groups, options)
}

/**
 * Adds the gradient of the objective of all groups to their policies: Σ wᵢ·log π(tokenᵢ), or what {@link LossOptions} says.
 * Weights are used as given: divide them by the divisor of the whole step, so that minibatches, micro-batches and ranks do
 * not change a token's weight.
 *
 * @throws MagrpoError `ERR_ARGUMENT` if a frozen policy has weights other than 0, or arrays do not fit
 */
export function accumulateBatch(
  groups: readonly ScoredGroup[],
  options: BatchOptions & { loss?: LossOptions } = {},
): Promise<{ scores: GroupScores[]; seconds: number }> {
  return pass(groups, options, options.loss ?? {})
}

async function pass(
  groups: readonly ScoredGroup[],
  { signal, maxTokensPerMicroBatch = defaultMicroBatch }: BatchOptions,
  loss?: LossOptions,
): Promise<{ scores: GroupScores[]; seconds: number }> {
  const scores = groups.map<GroupScores>(({ valueAt }) => ({
    logProbs: [],
    entropies: [],
    ...(valueAt === undefined ? {} : { values: [] }),
  }))
  let seconds = 0
  const models = byModel(groups)
  const oneThread = takeOneThreadEach(models.map(([model]) => model))
  const settled = await Promise.allSettled(
    models.map(async ([model, numbers]) => {
      const plan = new Plan(model, loss !== undefined)
      for (const number of numbers) plan.add(groups[number]!, number)
      const request = { ...plan.request(maxTokensPerMicroBatch), oneThread }
      const result = await callNative(
        (job) =>
          loss === undefined
            ? model.native.logProbs(request, job)
            : model.native.accumulate({ ...request, ...plan.terms(loss), loss }, job),
        signal,
      )
      seconds += result.seconds
      plan.distribute(result, scores)
    }),
  )
  throwFirst(settled)
  return { scores, seconds }
}

/** Where one completion stands in the tree. */
interface Place {
  group: number
  begin: number
  end: number
  completion: ScoredCompletion
  /** Number of its value among those read, if one is. */
  value: number | undefined
}

/** The tree of one model's groups and the arrays that go with it. */
class Plan {
  readonly #tree = new TreeBuilder()
  readonly #places: Place[] = []
  readonly #valueTokens: number[] = []
  readonly #model: Model
  readonly #isTraining: boolean

  constructor(model: Model, isTraining: boolean) {
    this.#model = model
    this.#isTraining = isTraining
  }

  add({ policy, promptIds, completions, valueAt }: ScoredGroup, number: number): void {
    checkPrompt(this.#model, promptIds, number)
    const tree = this.#tree
    const root = tree.root(policy, promptIds)
    const lastOfPrompt = tree.end(root) - 1
    for (const completion of completions) {
      checkLength(this.#model, promptIds.length + completion.ids.length, number)
      for (const name of ['weights', 'oldLogProbs', 'referenceLogProbs', 'penaltyWeights'] as const)
        if (completion[name] !== undefined && completion[name].length !== completion.ids.length)
          throw new MagrpoError(
            'ERR_ARGUMENT',
            `Expected ${completion.ids.length} entries in ${name} of a completion but received ${completion[name].length}.`,
          )
      if (this.#isTraining && policy.kind === 'base' && completion.weights?.some((weight) => weight !== 0))
        throw new MagrpoError('ERR_ARGUMENT', 'Expected weights of 0 for the bare base: it cannot be trained.')
      const begin = tree.tokens
      tree.child(root, completion.ids)
      const end = tree.tokens
      const value = valueAt === undefined ? undefined : this.#valueTokens.length
      if (value !== undefined) this.#valueTokens.push(valueAt === 'completion' && end > begin ? end - 1 : lastOfPrompt)
      this.#places.push({ group: number, begin, end, completion, value })
    }
  }

  request(maxTokensPerMicroBatch: number) {
    const scored = new Uint8Array(this.#tree.tokens)
    for (const { begin, end } of this.#places) scored.fill(1, begin, end)
    const valueTokens = this.#valueTokens.length > 0 ? Int32Array.from(this.#valueTokens) : undefined
    return { tree: this.#tree.build(), policies: this.#tree.policies, scored, maxTokensPerMicroBatch, valueTokens }
  }

  terms(loss: LossOptions): Omit<NativeAccumulateRequest, 'tree' | 'policies' | 'scored' | 'maxTokensPerMicroBatch'> {
    const hasPenalty = loss.kl !== undefined || (loss.entropyCoefficient ?? 0) !== 0
    const hasValues = this.#valueTokens.length > 0
    return {
      weights: this.#perToken('weights'),
      oldLogProbs: loss.clip && this.#perToken('oldLogProbs', true),
      referenceLogProbs: loss.kl && this.#perToken('referenceLogProbs', true),
      penalties: hasPenalty ? this.#perToken('penaltyWeights') : undefined,
      valueTargets: hasValues ? this.#perValue('valueTarget') : undefined,
      valueWeights: hasValues ? this.#perValue('valueWeight') : undefined,
    }
  }

  distribute(result: NativeScoreResult, scores: GroupScores[]): void {
    for (const { group, begin, end, value } of this.#places) {
      scores[group]!.logProbs.push(result.logProbs.slice(begin, end))
      scores[group]!.entropies.push(result.entropies.slice(begin, end))
      if (value !== undefined) scores[group]!.values!.push(result.values[value]!)
    }
  }

  #perToken(name: 'weights' | 'oldLogProbs' | 'referenceLogProbs' | 'penaltyWeights', isNeeded = false): Float32Array {
    const values = new Float32Array(this.#tree.tokens)
    for (const { begin, completion, group } of this.#places) {
      if (isNeeded && completion[name] === undefined)
        throw new MagrpoError(
          'ERR_ARGUMENT',
          `Expected ${name} in every completion of group ${group}: the loss needs them.`,
        )
      values.set(completion[name] ?? [], begin)
    }
    return values
  }

  #perValue(name: 'valueTarget' | 'valueWeight'): Float32Array {
    const values = new Float32Array(this.#valueTokens.length)
    for (const { value, completion } of this.#places) if (value !== undefined) values[value] = completion[name] ?? 0
    return values
  }
}
