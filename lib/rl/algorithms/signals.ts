/** From the rewards of a rollout to the training signal of every agent at every node. */

import { klOfCompletion, type ReferenceScores } from '../credit/kl.ts'
import { treeReturns } from '../credit/returns.ts'
import type { AgentSignal, NodeSignal, Scores } from '../credit/types.ts'
import type { Algorithm } from '../options/algorithm.ts'
import type { RolloutNode } from '../rollout/tree.ts'
import { algorithmEntry } from './registry.ts'

/** Signals of all nodes of a rollout, in their order: returns, less a KL penalty, credited as the algorithm does. */
export function signalsOf(nodes: readonly RolloutNode[], algorithm: Algorithm, scores: Scores = {}): NodeSignal[] {
  const returns = treeReturns(nodes, algorithm)
  const kls = new Map(nodes.map((node) => [node, klsOf(node, algorithm, scores.references)]))
  const penaltyOf = (node: RolloutNode, agent: number) => {
    const sums = algorithm.kl?.as === 'return' ? kls.get(node)![agent]?.sums : undefined
    return node.samples[agent]!.map((_, g) => (sums === undefined ? 0 : algorithm.kl!.coefficient * sums[g]!))
  }
  const { credit } = algorithmEntry(algorithm)
  const agentsOf = credit(nodes, algorithm, { returns, values: scores.values, penaltyOf })
  return nodes.map((node) => ({
    node,
    returns: returns.get(node)!,
    agents: agentsOf(node).map((signal, agent) => ({ ...signal, kl: kls.get(node)![agent]! })),
  }))
}

function klsOf(node: RolloutNode, { kl }: Algorithm, references?: ReferenceScores): AgentSignal['kl'][] {
  return node.samples.map((samples, agent) => {
    const logProbs = references?.get(node)?.[agent]
    if (kl === null || !logProbs) return null
    return { logProbs, sums: samples.map((sample, g) => klOfCompletion(kl.estimator, sample.logProbs, logProbs[g]!)) }
  })
}
