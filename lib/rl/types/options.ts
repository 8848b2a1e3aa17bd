import type { Sampling, StepOptions } from '../../model/types.ts'
import type { Algorithm } from '../options/algorithm.ts'
import type { ScheduleName } from '../options/schedule.ts'
/** AdamW's settings and how the learning rate moves over the run. */
export interface OptimizerOptions extends StepOptions {
  /** How the learning rate goes: `linear` and `cosine` fall to 0 at the end of the run. Defaults to `constant`. */
  schedule?: ScheduleName
  /** Steps over which the learning rate rises linearly to its full value. Defaults to `0`. */
  warmupSteps?: number
}

/** One agent, for records. */
export interface AgentSummary {
  name: string
  /** Number of its policy in the team; agents with equal numbers share weights. */
  policy: number
  kind: 'base' | 'full' | 'lora'
  /** Trainable parameters. */
  parameterCount: number
  /** Where its model came from. */
  source: string
}

/** The options of a run with every default filled in; plain JSON (`sampling.stopIds` is left out where unset). */
export interface ResolvedTrainOptions {
  task: {
    name: string
    agents: string[]
    items: number
    heldOut: number
    maxReward: number | null
    minReward: number | null
  }
  team: AgentSummary[]
  algorithm: Algorithm & { terminationThreshold: number | null }
  sampling: Sampling & Required<Omit<Sampling, 'stopIds' | 'stop'>>
  optimizer: Required<OptimizerOptions>
  /** Number of steps the run takes. */
  steps: number
  /** Passes over the items; null where `steps` was given. */
  epochs: number | null
  promptsPerStep: number
  minibatches: number
  maxTokensPerMicroBatch: number | null
  activationCheckpointing: boolean
  deterministic: boolean
  seed: number
  shuffle: boolean
  evalEvery: number
  evalItems: number
  evalSamples: number
  evalGreedy: boolean
  keepBest: boolean
  /** null: rewards end by themselves. */
  rewardTimeoutMs: number | null
  rewardConcurrency: number
  pipelineDepth: number
  logSamples: number
}
