/** Log-probabilities, values and gradients over policies and models: one pass over a token tree for each model. */
import { MagrpoError } from '../base/errors.ts'
import { abortSignal, defined, flag, integer } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import type { NativeAccumulateRequest, NativeScoreResult } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { checkGroups, lossSection } from './check-groups.ts'
import { expectPolicy } from './check-policy.ts'
import { checkDeterministic } from './deterministic.ts'
import { tokensOfPass } from './memory-terms.ts'
import type { Model } from './model.ts'
import { type Sampling, samplingDefaults, samplingSection } from './sampling.ts'
import { divide, runCalls } from './side-by-side.ts'
import { checkLength, checkPrompt, TreeBuilder } from './token-tree.ts'
import type { GroupScores, LossOptions, ScoredCompletion, ScoredGroup } from './types.ts'

/** How a pass is cut and stopped. */
export interface BatchOptions {
  signal?: AbortSignal
  /**
   * Tokens of one forward and backward pass at most; cut between prompts. Gradients of float32 weights are the same within 1e-6
   * (relative), those of bfloat16 weights within its rounding. Defaults to `2048`, shared evenly by the policies of a model.
   */
  maxTokensPerMicroBatch?: number
  /**
   * Keep each layer's input only for the backward pass and compute the layer again there: about a third more time for a fraction
   * of the memory. Defaults to `false`.
   */
  activationCheckpointing?: boolean
  /**
   * Score the distribution that a sampler with these settings draws from (temperature, topK, topP, minP, repetitionPenalty), not
   * the model's at temperature 1. With filters each completion needs its `kept`. Defaults to none: temperature 1, all tokens.
   */
  sampling?: Sampling
  /**
   * Make scores and gradients the same bit for bit for any order of groups and completions and any `maxTokensPerMicroBatch`:
   * prompts are computed one by one, in the order of their tokens. On the CPU only. Defaults to `false`.
   */
  deterministic?: boolean
}

const batchShape = {
  signal: abortSignal(),
  maxTokensPerMicroBatch: integer({ from: 1 }).optional(),
  activationCheckpointing: flag().optional(),
  sampling: samplingSection.optional(),
  deterministic: flag().optional(),
} satisfies FieldsOf<BatchOptions>

const batchSection = section(batchShape)
const accumulateSection = section({ ...batchShape, loss: lossSection.optional() })

/** Log-probabilities, entropies and (where asked for) values of all groups, in order; nothing is accumulated. */
export function scoreBatch(
  groups: readonly ScoredGroup[],
  options: BatchOptions = {},
): Promise<{ scores: GroupScores[]; seconds: number }> {
  return pass(groups, batchSection, options)
}

/**
 * Adds the gradient of the objective of all groups to their policies: Σ wᵢ·log π(tokenᵢ), or what {@link LossOptions} says.
 * Weights are used as given: divide them by the divisor of the whole step, so that minibatches, micro-batches and ranks do
 * not change a token's weight.
 *
 * @throws MagrpoError `ERR_ARGUMENT` if a completion has nothing to train with, neither weights nor another term's, a frozen policy has weights other than 0, or arrays do not fit
 */
export function accumulateBatch(
  groups: readonly ScoredGroup[],
  options: BatchOptions & { loss?: LossOptions } = {},
): Promise<{ scores: GroupScores[]; seconds: number }> {
  return pass(groups, accumulateSection, options, options?.loss ?? {})
}

async function pass(
  groups: readonly ScoredGroup[],
  schema: typeof batchSection | typeof accumulateSection,
  given: BatchOptions,
  loss?: LossOptions,
): Promise<{ scores: GroupScores[]; seconds: number }> {
  const options: BatchOptions = resolve(
    schema,
    given,
    `The options of ${loss === undefined ? 'scoring' : 'accumulate'}`,
  )
  const { signal, maxTokensPerMicroBatch, activationCheckpointing, deterministic = false } = options
  const drawn = drawnFrom(options.sampling)
  checkGroups(groups)
  for (const [number, { policy }] of groups.entries()) expectPolicy(policy, `policy of group ${number}`)
  const scores = groups.map<GroupScores>(({ valueAt }) => ({
    logProbs: [],
    entropies: [],
    ...(valueAt === undefined ? {} : { values: [] }),
  }))
  let seconds = 0
  const { parts, oneThread } = divide(groups, 'passes')
  const calls = parts.map(({ model, numbers, policies, atOnce }) => {
    if (deterministic) checkDeterministic(model)
    const plan = new Plan(model, loss !== undefined, drawn?.filters ?? false)
    for (const number of numbers) plan.add(groups[number]!, number)
    const run = async () => {
      if (plan.isEmpty) return
      if (deterministic) plan.sort()
      plan.place()
      const request = {
        ...plan.request(deterministic ? 1 : tokensOfPass(maxTokensPerMicroBatch, { policies, atOnce })),
        ...(drawn && { temperature: drawn.temperature, repetitionPenalty: drawn.repetitionPenalty }),
        oneThread,
        activationCheckpointing,
      }
      const result = await callNative(
        (job) =>
          loss === undefined
            ? model.native.logProbs(request, job)
            : model.native.accumulate({ ...request, ...plan.terms(loss), loss }, job),
        signal,
      )
      seconds += result.seconds
      plan.distribute(result, scores)
    }
    return { model, run }
  })
  await runCalls(calls, { sideBySide: oneThread })
  return { scores, seconds }
}

/** What a sampler does to logits; undefined where it draws from the model's own distribution. */
function drawnFrom(sampling: Sampling = {}) {
  const { temperature, repetitionPenalty, topK, topP, minP } = { ...samplingDefaults, ...defined(sampling) }
  if (!(temperature > 0))
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `Expected sampling.temperature above 0 but received ${temperature}: a greedy choice has no distribution to be scored under.`,
    )
  const filters = topK > 0 || topP < 1 || minP > 0
  return temperature === 1 && repetitionPenalty === 1 && !filters
    ? undefined
    : { temperature, repetitionPenalty, filters }
}

/** Where one completion stands in the tree. */
interface Place {
  /** Numbers of its group, and of itself within it. */
  group: number
  index: number
  of: ScoredGroup
  completion: ScoredCompletion
  begin: number
  end: number
  /** Number of its value among those read, if one is. */
  value: number | undefined
}

/** What a completion has a number a token of. */
const rowNames = ['weights', 'oldLogProbs', 'referenceLogProbs', 'penaltyWeights'] as const

const noBytes = new Uint8Array(0)
/** Whether anything of a completion enters the loss. */
const isTrained = ({ weights, penaltyWeights, valueWeight }: ScoredCompletion) =>
  weights !== undefined || penaltyWeights !== undefined || valueWeight !== undefined

/** What decides the value term of a completion. */
const valueNumbers = ({ of, completion: { valueTarget = 0, valueWeight = 0 } }: Place) =>
  of.valueAt === undefined ? [] : [of.valueAt === 'completion' ? 1 : 0, valueTarget, valueWeight]

/** The tree of one model's groups and the arrays that go with it. */
class Plan {
  readonly #tree = new TreeBuilder()
  readonly #places: Place[] = []
  readonly #valueTokens: number[] = []
  readonly #model: Model
  readonly #isTraining: boolean
  readonly #isFiltered: boolean

  constructor(model: Model, isTraining: boolean, isFiltered: boolean) {
    this.#model = model
    this.#isTraining = isTraining
    this.#isFiltered = isFiltered
  }

  get isEmpty(): boolean {
    return this.#places.length === 0
  }

  add(of: ScoredGroup, group: number): void {
    const { policy, promptIds, completions, valueAt } = of
    if (valueAt !== undefined && valueAt !== 'prompt' && valueAt !== 'completion')
      throw new MagrpoError(
        'ERR_ARGUMENT',
        `Expected 'prompt' or 'completion' for valueAt of group ${group} but received ${JSON.stringify(valueAt)}.`,
      )
    checkPrompt(this.#model, promptIds, group)
    for (const [index, completion] of completions.entries()) {
      checkLength(this.#model, promptIds.length + completion.ids.length, group)
      for (const name of rowNames)
        if (completion[name] !== undefined && completion[name].length !== completion.ids.length)
          throw new MagrpoError(
            'ERR_ARGUMENT',
            `Expected ${completion.ids.length} entries in ${name} of a completion but received ${completion[name].length}.`,
          )
      if (this.#isFiltered && (completion.kept ?? noBytes).length === 0 && completion.ids.length > 0)
        throw new MagrpoError(
          'ERR_ARGUMENT',
          `Expected kept in completion ${index} of group ${group}: with topK, topP or minP a completion is scored over the tokens ` +
            'that its sampler kept, which a completion made elsewhere does not say. Hand over the sample’s kept, or score without filters.',
        )
      if (this.#isTraining && policy.kind !== 'base' && completion.ids.length > 0 && !isTrained(completion))
        throw new MagrpoError(
          'ERR_ARGUMENT',
          `Expected weights for completion ${index} of group ${group}: without them accumulate adds nothing. Use logProbs for scores ` +
            'alone, or weights of 0.',
        )
      if (this.#isTraining && policy.kind === 'base' && completion.weights?.some((weight) => weight !== 0))
        throw new MagrpoError('ERR_ARGUMENT', 'Expected weights of 0 for the bare base: it cannot be trained.')
      this.#places.push({ group, index, of, completion, begin: 0, end: 0, value: undefined })
    }
  }

  /** An order that does not depend on the one of the groups: sums of gradients are added up in it. */
  sort(): void {
    this.#places.sort(
      (a, b) =>
        compare(a.of.promptIds, b.of.promptIds) ||
        compare(a.completion.ids, b.completion.ids) ||
        rowNames.reduce((order, name) => order || compare(a.completion[name] ?? [], b.completion[name] ?? []), 0) ||
        compare(valueNumbers(a), valueNumbers(b)),
    )
  }

  /** Puts what was added into the tree. */
  place(): void {
    const tree = this.#tree
    for (const place of this.#places) {
      const { of, completion } = place
      const root = tree.root(of.policy, of.promptIds)
      const lastOfPrompt = tree.end(root) - 1
      place.begin = tree.tokens
      tree.child(root, completion.ids)
      place.end = tree.tokens
      if (of.valueAt === undefined) continue
      place.value = this.#valueTokens.length
      const hasOwn = of.valueAt === 'completion' && place.end > place.begin
      this.#valueTokens.push(hasOwn ? place.end - 1 : lastOfPrompt)
    }
  }

  request(maxTokensPerMicroBatch: number) {
    const scored = new Uint8Array(this.#tree.tokens)
    for (const { begin, end } of this.#places) scored.fill(1, begin, end)
    const valueTokens = this.#valueTokens.length > 0 ? Int32Array.from(this.#valueTokens) : undefined
    const kept = this.#isFiltered && {
      kept: Buffer.concat(this.#places.map(({ completion }) => completion.kept ?? noBytes)),
    }
    return {
      tree: this.#tree.build(),
      policies: this.#tree.policies,
      scored,
      maxTokensPerMicroBatch,
      valueTokens,
      ...kept,
    }
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
    for (const { group, index, begin, end, value } of this.#places) {
      scores[group]!.logProbs[index] = result.logProbs.slice(begin, end)
      scores[group]!.entropies[index] = result.entropies.slice(begin, end)
      if (value !== undefined) scores[group]!.values![index] = result.values[value]!
    }
  }

  #perToken(name: (typeof rowNames)[number], isNeeded = false): Float32Array {
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

/** Lexicographic order of two rows of numbers. */
function compare(a: ArrayLike<number>, b: ArrayLike<number>): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}
