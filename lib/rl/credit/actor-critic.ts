/**
 * Advantages of the actor-critic algorithms, IAC and MAAC: one-step errors of a critic, as in the published code of
 * Liu et al. (AAAI 2026).
 */

import { largest, mean, populationStd, present, smallest } from '../../base/statistics.ts'
import type { RolloutNode } from '../rollout/tree.ts'
import { stdFloor } from './advantages.ts'
import { afterEnd } from './returns.ts'
import type { AgentSignal, Credit } from './types.ts'

/**
 * Signals by node: targets r_t + γ·V(next) (r_t + `afterEnd` where nothing follows) and advantages target - V(now), with the values
 * from before the update. Next is the child of the joint action, or its sampled answer for a critic of type `q`.
 *
 * With `scaleByStd`, the advantages of an update batch (one agent, one turn, all nodes) are centred and divided by their
 * population standard deviation, at least 1e-6; a batch of one is left as it is. Where the policy decides when an episode ends, the
 * batch of a later turn holds the episodes that went on alone, so that its mean is a biased baseline.
 *
 * An agent without a critic has no advantages, and neither has a completion whose reward abstained, nor a target.
 */
export const actorCritic: Credit = (nodes, settings, { values, penaltyOf }) => {
  const signals = new Map(nodes.map((node) => [node, node.samples.map((_, agent) => rawSignal(node, agent))]))

  function rawSignal(node: RolloutNode, agent: number): Omit<AgentSignal, 'kl'> {
    const penalties = penaltyOf(node, agent)
    const own = values?.get(node)?.[agent]
    const rewards = node.joints.map(({ reward }, g) => (reward === null ? null : reward - penalties[g]!))
    const none = rewards.map((reward) => (reward === null ? null : 0))
    if (!own) return { returns: rewards, advantages: none, isEqual: true, critic: null }
    const targets = node.joints.map(({ reward, child }, g) => {
      // Several turns have groups of one, so that a child's first value is its only one.
      if (reward === null) return null
      const later =
        child === null ? afterEnd(reward, node.turn, settings) : settings.discount * values!.get(child)![agent]![0]!
      return rewards[g]! + later
    })
    const advantages = targets.map((target, g) => (target === null ? null : target - own[g]!))
    return { returns: targets, advantages, isEqual: false, critic: { values: own, targets } }
  }

  if (settings.scaleByStd) {
    for (const batch of updateBatches(nodes, signals)) normalize(batch, settings.equalRewardEps)
  }
  return (node) => signals.get(node)!
}

type RawSignal = Omit<AgentSignal, 'kl'>

/** The signals with a critic, by agent and turn. */
function updateBatches(
  nodes: readonly RolloutNode[],
  signals: ReadonlyMap<RolloutNode, RawSignal[]>,
): Iterable<RawSignal[]> {
  const batches = new Map<string, RawSignal[]>()
  for (const node of nodes) {
    for (const [agent, signal] of signals.get(node)!.entries()) {
      if (signal.critic === null) continue
      const key = `${agent}:${node.turn}`
      const batch = batches.get(key)
      if (batch) batch.push(signal)
      else batches.set(key, [signal])
    }
  }
  return batches.values()
}

function normalize(batch: readonly RawSignal[], eps: number): void {
  const all = batch.flatMap(({ advantages }) => present(advantages))
  if (all.length < 2) return
  // Scaling would blow rounding errors up to advantages of about 1.
  const isEqual = largest(all) - smallest(all) < eps
  const centre = mean(all)
  const scale = Math.max(populationStd(all), stdFloor)
  for (const signal of batch) {
    signal.isEqual = isEqual
    signal.advantages = signal.advantages.map((value) => {
      if (value === null) return null
      return isEqual ? 0 : (value - centre) / scale
    })
  }
}
