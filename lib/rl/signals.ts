/** From the rewards of a rollout to the training signal of every agent at every node. */
import { type AdvantageSettings, groupAdvantages } from './advantages.ts'
import { type CrossCredit, completionReturns, tokenWeights } from './credit.ts'
import type { EngineGroup } from './engine.ts'
import { treeReturns } from './returns.ts'
import type { RolloutNode } from './rollout-tree.ts'

/** What one agent learns from one node. */
export interface AgentSignal {
  /** (G) credited to each of its completions. */
  returns: number[]
  /** (G) */
  advantages: number[]
  /** Returns too close to tell apart. */
  isEqual: boolean
}

/** A node with its returns and each agent's signal. */
export interface NodeSignal {
  node: RolloutNode
  /** (J) return of each joint action. */
  returns: number[]
  /** (n) */
  agents: AgentSignal[]
}

/** The settings of an algorithm that turn rewards into signals. */
export interface SignalSettings extends AdvantageSettings {
  discount: number
  crossCredit: CrossCredit
}

/** Signals of all nodes of a rollout, in their order. */
export function signalsOf(nodes: readonly RolloutNode[], settings: SignalSettings): NodeSignal[] {
  const returns = treeReturns(nodes, settings.discount)
  return nodes.map((node) => {
    const own = returns.get(node)!
    const picks = node.joints.map((action) => action.picks)
    const agents = node.samples.map((samples, agent) => {
      const credited = completionReturns(picks, own, agent, samples.length, settings.crossCredit)
      return { returns: credited, ...groupAdvantages(credited, settings) }
    })
    return { node, returns: own, agents }
  })
}

/** A group of completions to be trained, and what the sampler had said of their tokens. */
export interface TrainGroup {
  group: EngineGroup
  /** One array a completion of the group. */
  sampledLogProbs: Float32Array[]
}

/**
 * Groups to accumulate so that the step's gradient is that of the sequence-level loss (equation 2), averaged over the
 * nodes of a turn and summed over turns.
 *
 * Completions of advantage 0 have no gradient and are left out, and so are groups in which nothing remains; the divisor
 * counts them all the same.
 *
 * @param policies (n) number of each agent's policy; null for an agent that is not trained
 */
export function trainGroups(signals: readonly NodeSignal[], policies: readonly (number | null)[]): TrainGroup[] {
  const nodesOfTurn = new Map<number, number>()
  for (const { node } of signals) nodesOfTurn.set(node.turn, (nodesOfTurn.get(node.turn) ?? 0) + 1)
  const groups: TrainGroup[] = []
  for (const { node, agents } of signals) {
    for (const [agent, { advantages }] of agents.entries()) {
      const policy = policies[agent]!
      if (policy === null) continue
      const samples = node.samples[agent]!
      const trained = samples
        .map((sample, g) => ({ sample, advantage: advantages[g]! }))
        .filter((s) => s.advantage !== 0)
      if (trained.length === 0) continue
      const completions = trained.map(({ sample, advantage }) => ({
        ids: sample.ids,
        weights: tokenWeights(sample.ids.length, advantage, samples.length, nodesOfTurn.get(node.turn)!),
      }))
      groups.push({
        group: { policy, promptIds: node.promptIds[agent]!, completions },
        sampledLogProbs: trained.map(({ sample }) => sample.logProbs),
      })
    }
  }
  return groups
}
