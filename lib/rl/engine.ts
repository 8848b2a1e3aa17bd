/**
 * What training needs of a set of policies. The real one is {@link policyEngine} over `lib/model`; tests put a table of
 * logits in its place, so that all of `lib/rl` runs without a model.
 */
import type {
  GenerateRequest,
  GenerateStats,
  Generation,
  GroupScores,
  Sampling,
  ScoredGroup,
  StepOptions,
  StepResult,
} from '../model/types.ts'

/** A {@link GenerateRequest} that names its policy by number. */
export type EngineRequest = Omit<GenerateRequest, 'policy'> & { policy: number }

/** A {@link ScoredGroup} that names its policy by number. */
export type EngineGroup = Omit<ScoredGroup, 'policy'> & { policy: number }

/** How a pass over groups is cut and stopped. */
export interface EngineScoreOptions {
  signal?: AbortSignal
  /** Most tokens of one forward and backward pass; default: the core's. */
  maxTokensPerMicroBatch?: number
}

/** Generation, gradients and steps of numbered policies. All calls reject with the signal's reason when aborted. */
export interface Engine {
  /** Samples for all requests in one batch; results in the order of the requests. */
  generate(
    requests: readonly EngineRequest[],
    sampling: Sampling,
    options: { signal?: AbortSignal },
  ): Promise<{ generations: Generation[]; stats: GenerateStats }>
  /** Adds the gradient of Σ wᵢ·log π(tokenᵢ) of all groups to their policies; scores in the order of the groups. */
  accumulate(groups: readonly EngineGroup[], options: EngineScoreOptions): Promise<{ scores: GroupScores[] }>
  /** Moves one policy up its accumulated gradient and drops the gradient. */
  step(policy: number, options: StepOptions): Promise<StepResult>
  /** Drops accumulated gradients. */
  zeroGrad(policy: number): Promise<void>
}
