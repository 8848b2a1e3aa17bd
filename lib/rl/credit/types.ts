import type { RolloutNode } from '../rollout/tree.ts'
import type { ValueScores } from './critic.ts'
import type { ReferenceScores } from './kl.ts'
/** What one agent learns from one node. */
export interface AgentSignal {
  /** (G) credited to each of its completions, a KL penalty on returns taken off. */
  returns: number[]
  /** (G) */
  advantages: number[]
  /** Returns (of a critic: advantages of the update batch) too close to tell apart. */
  isEqual: boolean
  /** Where there is a reference: (G) log-probabilities under it, and sums of the KL estimate. */
  kl: { logProbs: Float32Array[]; sums: number[] } | null
  /** Where there is a critic: (G) its values before the update, and what they should have been. */
  critic: { values: number[]; targets: number[] } | null
}

/** A node with its returns and each agent's signal. */
export interface NodeSignal {
  node: RolloutNode
  /** (J) return of each joint action. */
  returns: number[]
  /** (n) */
  agents: AgentSignal[]
}

/** What references and critics said of a rollout. */
export interface Scores {
  references?: ReferenceScores
  /** Needed by `iac` and `maac`. */
  values?: ValueScores
}

/** What a completion's KL takes off its return: (G) of one agent at one node. */
export type PenaltyOf = (node: RolloutNode, agent: number) => number[]
