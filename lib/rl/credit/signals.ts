/** From the rewards of a rollout to the training signal of every agent at every node. */

import type { AdvantageMode, Algorithm } from '../options/algorithm.ts'
import { completionReturns } from '../rollout/joint.ts'
import type { RolloutNode } from '../rollout/tree.ts'
import { actorCriticSignals } from './actor-critic.ts'
import { groupAdvantages } from './advantages.ts'
import { klOfCompletion, type ReferenceScores } from './kl.ts'
import { treeReturns } from './returns.ts'
import type { AgentSignal, NodeSignal, PenaltyOf, Scores } from './types.ts'

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
