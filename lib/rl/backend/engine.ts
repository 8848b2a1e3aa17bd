/**
 * What training needs of a set of policies. The real one is {@link policyEngine} over `lib/model`; tests put a table of
 * logits in its place, so that all of `lib/rl` runs without a model.
 */
import type { SampleEvent } from '../../model/generate.ts'
import type { Sampling } from '../../model/sampling.ts'
import type { StepOptions } from '../../model/step-options.ts'
import type {
  GenerateRequest,
  GenerateStats,
  Generation,
  GroupScores,
  LossOptions,
  Prompt,
  ScoredGroup,
  StepResult,
} from '../../model/types.ts'

/** A {@link GenerateRequest} that names its policy by number. */
export type EngineRequest = Omit<GenerateRequest, 'policy'> & { policy: number }

/** A {@link ScoredGroup} that names its policy by number. */
export type EngineGroup = Omit<ScoredGroup, 'policy'> & {
  policy: number
  /** Position of its prompt in the step, which decides whose share it is. Default: 0. */
  slot?: number
}

/** The slots of a step with a gradient of a policy, ascending, and where each rank's share begins; see `boundsOf`. */
export interface SlotShares {
  slots: Int32Array
  bounds: Int32Array
}

/** Gradients of policies, summed over slots and ranks. Every rank makes the same calls in the same order, but for {@link endSlot}. */
export interface GradientSums {
  /** Ends the gradient of a slot; what is accumulated next is another's. Slots ascend. */
  endSlot(policy: number, place: SlotShares & { slot: number; rank: number }): Promise<void>
  /** Makes a policy's gradient that of all slots of all ranks, the same bits however they are spread. */
  sumSlots(policy: number, shares: SlotShares): Promise<void>
  /** Makes a policy's gradient the sum of all ranks'. */
  sum(policy: number): Promise<void>
  /** Spreads what a policy's optimizer keeps over the ranks, or gives each all of it again. */
  spread(policy: number, wanted: boolean): Promise<void>
  /** Overwrites a policy and its optimizer, whose moments are of this kind, with those of rank 0. */
  copyFromFirst(policy: number, moments: string): Promise<void>
}

/** How a pass over groups is cut and stopped. */
export interface EngineScoreOptions {
  signal?: AbortSignal
  /** Most tokens of one forward and backward pass; default: the core's. */
  maxTokensPerMicroBatch?: number
  /** Scores are of the distribution that such a sampler draws from. Default: the model's own. */
  sampling?: Sampling
}

/** How gradients are computed. */
export interface EngineAccumulateOptions extends EngineScoreOptions {
  /** Default: Σ wᵢ·log π(tokenᵢ) alone. */
  loss?: LossOptions
}

/** Generation, gradients and steps of numbered policies. All calls reject with the signal's reason when aborted. */
export interface Engine {
  /**
   * Samples for all requests in one batch; results in the order of the requests. An engine that can calls `onSample` with each
   * sample as it ends, while others go on.
   */
  generate(
    requests: readonly EngineRequest[],
    sampling: Sampling,
    options: { signal?: AbortSignal; onSample?(event: SampleEvent): void },
  ): Promise<{ generations: Generation[]; stats: GenerateStats }>
  /** Token ids of a prompt, as this policy's tokenizer makes them. */
  encode(policy: number, prompt: Prompt): Int32Array
  /** Log-probabilities, entropies and, where asked for, values; in the order of the groups. */
  score(groups: readonly EngineGroup[], options: EngineScoreOptions): Promise<{ scores: GroupScores[] }>
  /** Adds the gradient of the objective of {@link LossOptions} to the policies; scores in the order of the groups. */
  accumulate(groups: readonly EngineGroup[], options: EngineAccumulateOptions): Promise<{ scores: GroupScores[] }>
  /** Moves one policy up its accumulated gradient and drops the gradient. */
  step(policy: number, options: StepOptions): Promise<StepResult>
  /** Drops accumulated gradients. */
  zeroGrad(policy: number): Promise<void>
  /** Keeps what a policy's optimizer keeps in the host's memory, or on its device again. Default: it cannot, and need not. */
  offload?(policy: number, wanted: boolean): Promise<void>
  /** Default: there is one rank, and gradients are summed as they come. */
  sums?: GradientSums
}
