/** From the rewards of a rollout to the training signal of every agent at every node. */
import { actorCriticSignals } from './actor-critic.ts'
import { type AdvantageMode, groupAdvantages } from './advantages.ts'
import type { Algorithm } from './algorithm-options.ts'
import { completionReturns } from './credit.ts'
import type { ValueScores } from './critic.ts'
import { klOfCompletion, type ReferenceScores } from './kl.ts'
import { treeReturns } from './returns.ts'
import type { RolloutNode } from './rollout-tree.ts'

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

/** Signals of all nodes of a rollout, in their order. */
export function signalsOf(nodes: readonly RolloutNode[], algorithm: Algorithm, scores: Scores = {}): NodeSignal[] {
  const returns = treeReturns(nodes, algorithm.discount)
  const kls = new Map(nodes.map((node) => [node, klsOf(node, algorithm, scores.references)]))
  const penaltyOf = (node: RolloutNode, agent: number) => {
    const sums = algorithm.kl?.as === 'return' ? kls.get(node)![agent]?.sums : undefined
    return node.samples[agent]!.map((_, g) => (sums === undefined ? 0 : algorithm.kl!.coefficient * sums[g]!))
  }
  const agentsOf =
    algorithm.critic === null
      ? (node: RolloutNode) => groupRelative(node, returns.get(node)!, algorithm, penaltyOf)
      : actorCriticSignals(nodes, algorithm, scores.values, penaltyOf)
  return nodes.map((node) => ({
    node,
    returns: returns.get(node)!,
    agents: agentsOf(node).map((signal, agent) => ({ ...signal, kl: kls.get(node)![agent]! })),
  }))
}

/** What a completion's KL takes off its return: (G) of one agent at one node. */
export type PenaltyOf = (node: RolloutNode, agent: number) => number[]

function groupRelative(
  node: RolloutNode,
  returns: readonly number[],
  algorithm: Algorithm,
  penaltyOf: PenaltyOf,
): Omit<AgentSignal, 'kl'>[] {
  const settings = { ...algorithm, advantage: algorithm.advantage as AdvantageMode }
  const picks = node.joints.map((action) => action.picks)
  return node.samples.map((samples, agent) => {
    const penalties = penaltyOf(node, agent)
    const credited = completionReturns(picks, returns, agent, samples.length, algorithm.crossCredit).map(
      (value, g) => value - penalties[g]!,
    )
    return { returns: credited, ...groupAdvantages(credited, settings), critic: null }
  })
}

function klsOf(node: RolloutNode, { kl }: Algorithm, references?: ReferenceScores): AgentSignal['kl'][] {
  return node.samples.map((samples, agent) => {
    const logProbs = references?.get(node)?.[agent]
    if (kl === null || !logProbs) return null
    return { logProbs, sums: samples.map((sample, g) => klOfCompletion(kl.estimator, sample.logProbs, logProbs[g]!)) }
  })
}
