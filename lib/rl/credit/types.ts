/** The training signal, and how an algorithm makes it. */
import type { Algorithm } from '../options/algorithm.ts'
import type { RolloutNode } from '../rollout/tree.ts'
import type { ValueScores } from './critic.ts'
import type { ReferenceScores } from './kl.ts'

/** What one agent learns from one node. */
export interface AgentSignal {
  /** (G) credited to each of its completions, a KL penalty on returns taken off; null where all its rewards abstained. */
  returns: (number | null)[]
  /** (G) null for a completion that takes no part in the update: rewards abstained, of it or of too much of its group. */
  advantages: (number | null)[]
  /** Returns (of a critic: advantages of the update batch) too close to tell apart. */
  isEqual: boolean
  /** Where there is a reference: (G) log-probabilities under it, and sums of the KL estimate. */
  kl: { logProbs: Float32Array[]; sums: number[] } | null
  /** Where there is a critic: (G) its values before the update, and what they should have been; null where rewards abstained. */
  critic: { values: number[]; targets: (number | null)[] } | null
}

/** A node with its returns and each agent's signal. */
export interface NodeSignal {
  node: RolloutNode
  /** (J) return of each joint action; null where its reward abstained. */
  returns: (number | null)[]
  /** (n) */
  agents: AgentSignal[]
}

/** What references and critics said of a rollout. */
export interface Scores {
  references?: ReferenceScores
  /** Needed where the algorithm has a critic. */
  values?: ValueScores
}

/** What a completion's KL takes off its return: (G) of one agent at one node. */
type PenaltyOf = (node: RolloutNode, agent: number) => number[]

/** What credit is given from. */
interface CreditInputs {
  /** (J) discounted returns of each node's joint actions; null where the reward abstained. */
  returns: ReadonlyMap<RolloutNode, readonly (number | null)[]>
  values: ValueScores | undefined
  penaltyOf: PenaltyOf
}

/** An algorithm's way from the returns of a rollout to the signal of each agent at a node. */
export type Credit = (
  nodes: readonly RolloutNode[],
  algorithm: Algorithm,
  inputs: CreditInputs,
) => (node: RolloutNode) => Omit<AgentSignal, 'kl'>[]
