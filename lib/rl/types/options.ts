import type { ResolvedSampling } from '../../model/sampling.ts'
import type { Algorithm } from '../options/algorithm.ts'
import type { ResolvedOptimizer } from '../options/optimizer.ts'
import type { ResolvedRunOptions } from '../options/run.ts'

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
export interface ResolvedTrainOptions extends Omit<ResolvedRunOptions, 'steps' | 'epochs' | ResolvedLater> {
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
  sampling: ResolvedSampling
  optimizer: ResolvedOptimizer
  /** Number of steps the run takes. */
  steps: number
  /** Passes over the items; null where `steps` was given. */
  epochs: number | null
  /** null: the core's. */
  maxTokensPerMicroBatch: number | null
  /** null: rewards end by themselves. */
  rewardTimeoutMs: number | null
}

type ResolvedLater = 'maxTokensPerMicroBatch' | 'rewardTimeoutMs'
