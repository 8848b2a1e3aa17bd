/**
 * What generation and training take and give, in terms of policies and token ids. No tensor, no native handle.
 */

import type { NativePolicy } from '../native/addon-types.ts'
import type { ChatMessage } from '../text/messages.ts'
import type { Model } from './model.ts'

/** A policy as batches take it; every `Policy` is one. */
export interface PolicyRef {
  readonly model: Model
  /** `base` is frozen, `full` trains the model's own weights, `lora` an adapter over them. */
  readonly kind: 'base' | 'full' | 'lora'
  /** Null for the bare base. */
  readonly native: NativePolicy | null
}

/**
 * What a sample's random numbers are a function of, besides the position of the token: equal streams give equal
 * samples in any batch, on any number of devices. All are integers from 0 to 2³²-1.
 */
export interface RandomStream {
  seed: number
  step: number
  agent: number
  prompt: number
  /** Number of the request's first sample; the others follow. */
  sample: number
}

/** A prompt: text (gets the tokenizer's own special tokens), chat messages, or ids as they are. */
export type Prompt = string | ChatMessage[] | Int32Array

/** One prompt of one policy, to be continued `count` times. */
export interface GenerateRequest {
  policy: PolicyRef
  prompt: Prompt
  count: number
  stream: RandomStream
}

/** One sampled completion. */
export interface Sample {
  /** Without end token and without the stop string that ended it; null for a model without tokenizer. */
  text: string | null
  /** Token ids, the end token included if there is one. */
  ids: Int32Array
  /**
   * One per id: natural log-probability under the distribution it was drawn from, temperature, filters and penalty included.
   * A greedy choice is no draw: these are the model's then.
   */
  logProbs: Float32Array
  /** One per id: entropy of that distribution, in nats. */
  entropies: Float32Array
  /** One per id: natural log-probability at temperature 1 over the whole vocabulary, whatever the sampling was. */
  modelLogProbs: Float32Array
  /** One per id: entropy of that distribution, in nats. */
  modelEntropies: Float32Array
  /** What the filters kept at each id, as bytes to be handed to {@link ScoredCompletion.kept}; absent without filters. */
  kept?: Uint8Array
  finish: 'stop' | 'length'
}

/** All samples of one request. */
export interface Generation {
  promptIds: Int32Array
  samples: Sample[]
}

/** What a batch of generation cost. */
export interface GenerateStats {
  prefillTokens: number
  newTokens: number
  seconds: number
}

/** One completion to be scored or trained. */
export interface ScoredCompletion {
  /** May be empty where only the value at the prompt is asked for. */
  ids: Int32Array
  /** One per id: weight wᵢ of Σ wᵢ·log π(tokenᵢ); needed for training, ignored for scoring. */
  weights?: Float32Array
  /** {@link Sample.kept}; needed where scores are of a sampler with filters. */
  kept?: Uint8Array
  /** One per id: log-probabilities under the policy that sampled; needed with {@link LossOptions.clip}. */
  oldLogProbs?: Float32Array
  /** One per id: log-probabilities under the frozen reference; needed with {@link LossOptions.kl}. */
  referenceLogProbs?: Float32Array
  /** One per id: weight uᵢ of the token's KL and entropy terms. Defaults to 0: neither. */
  penaltyWeights?: Float32Array
  /** What the value head is to say; together with `valueWeight`. */
  valueTarget?: number
  /** Factor of (valueTarget - V)², which is subtracted from the objective. Defaults to `0`. */
  valueWeight?: number
}

/** A prompt with its completions, to be scored or trained; the prompt is computed once for all of them. */
export interface ScoredGroup {
  policy: PolicyRef
  promptIds: Int32Array
  completions: ScoredCompletion[]
  /**
   * Where the policy's value head is read, once per completion: at the last token of the prompt, or of the completion.
   * Unset: not at all.
   */
  valueAt?: 'prompt' | 'completion'
}

/** Log-probabilities and entropies of one group's completions, one array per completion. */
export interface GroupScores {
  logProbs: Float32Array[]
  entropies: Float32Array[]
  /** One per completion; only where the group has `valueAt`. */
  values?: number[]
}

/** Estimators of KL(π ‖ π_ref) of one token, with d = log π_ref - log π: -d, d²/2, exp(d) - d - 1. */
export type KlEstimator = 'k1' | 'k2' | 'k3'

/**
 * The objective of an accumulation, moved up, with ρᵢ = exp(log πᵢ - oldᵢ):
 *
 *     Σᵢ [ clip ? min(ρᵢ·wᵢ, clamp(ρᵢ, 1 - low, 1 + high)·wᵢ) : wᵢ·log πᵢ ]
 *       + Σᵢ uᵢ·(entropyCoefficient·Hᵢ - kl.coefficient·KLᵢ) - Σ valueWeight·(valueTarget - V)²
 */
export interface LossOptions {
  /** Unset: no ratio. */
  clip?: { low: number; high: number }
  /** Unset: no KL term. The gradient is that of the estimator itself. */
  kl?: { estimator: KlEstimator; coefficient: number }
  /** Defaults to `0`. */
  entropyCoefficient?: number
}

/** What a step did. */
export interface StepResult {
  /** Global L2 norm of the gradient before clipping. */
  gradNorm: number
  /** The gradient was not finite: nothing was changed. */
  skipped: boolean
}
