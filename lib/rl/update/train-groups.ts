/**
 * From signals to what the engine accumulates: weights of every token, penalty and value. All divisors are those of the
 * **whole** step, whatever minibatch or process a group is in, so that the pieces only add up.
 */

import { mean, present } from '../../base/statistics.ts'
import type { Sample, ScoredCompletion } from '../../model/types.ts'
import type { EngineGroup } from '../backend/engine.ts'
import type { CriticInput } from '../credit/critic.ts'
import type { AgentSignal, NodeSignal } from '../credit/types.ts'
import type { Algorithm } from '../options/algorithm.ts'

/** A group of completions to be trained. */
export interface TrainGroup {
  group: EngineGroup
  /** One array a completion of the group: what the sampler had said of its tokens. Empty for a separate critic. */
  sampledLogProbs: Float32Array[]
  /** One per completion with a value target: its value before the first update. */
  oldValues?: number[]
}

/** What decides the weights. */
interface TrainGroupSettings {
  /** (n) number of each agent's policy; null for an agent that is not trained. */
  policies: readonly (number | null)[]
  algorithm: Algorithm
  /** Divisor of `lengthNormalization: 'constant'` where the algorithm names none. */
  maxNewTokens: number
}

/**
 * Groups to accumulate so that the step's gradient, moved **up**, is that of
 *
 *     J = Σ_turns (1/M) Σ_completions (1/L_c) Σᵤ [ A_c · log π(u) (or its clipped ratio) + entropy - KL ]  - value loss
 *
 * for each agent, with M its completions of a turn in the step: equation 2 for L = 1. L is 1, the completion's length or a
 * constant. Completions without an advantage, since rewards abstained, are in neither sum nor M; with `maskTruncated`, nor are those
 * cut off by the token limit.
 *
 * The value loss of a shared head is coefficient · (1/M) Σ (target - V)², over all completions with a target. Completions without any
 * gradient are left out, and so are groups in which nothing remains; M counts them all the same. `ids` ends with the first
 * end token, which is trained; what came after it was never kept.
 */
export function trainGroups(signals: readonly NodeSignal[], settings: TrainGroupSettings): TrainGroup[] {
  const { policies, algorithm } = settings
  const isShared = algorithm.critic?.placement === 'shared'
  const counts = policies.map((_, agent) => countCompletions(signals, agent, algorithm.maskTruncated))
  return signals.flatMap(({ node, agents }) =>
    agents.flatMap((signal, agent): TrainGroup[] => {
      const policy = policies[agent]!
      if (policy === null) return []
      const { kept, all } = counts[agent]!.get(node.turn)!
      const samples = node.samples[agent]!
      const chosen = samples.flatMap((sample, g) => {
        if (signal.advantages[g] === null) return []
        const terms = policyTerms(sample, g, signal, kept, settings)
        if (!terms.hasGradient && !isShared) return []
        const completion = { ...terms.completion, ...(isShared && valueTerms(algorithm, signal, g, all)) }
        return [{ completion, sampled: sample.logProbs, oldValue: signal.critic?.values[g] ?? 0 }]
      })
      if (chosen.length === 0) return []
      const group: EngineGroup = {
        policy,
        slot: node.slot,
        promptIds: node.promptIds[agent]!,
        completions: chosen.map(({ completion }) => completion),
        ...(isShared && { valueAt: algorithm.critic!.type === 'v' ? 'prompt' : 'completion' }),
      }
      const sampledLogProbs = chosen.map(({ sampled }) => sampled)
      return [{ group, sampledLogProbs, ...(isShared && { oldValues: chosen.map(({ oldValue }) => oldValue) }) }]
    }),
  )
}

/** Groups of separate critics: the inputs they were read with, with targets. */
export function criticGroups(
  signals: readonly NodeSignal[],
  inputs: readonly CriticInput[],
  algorithm: Algorithm,
): TrainGroup[] {
  const byNode = new Map(signals.map((signal) => [signal.node, signal]))
  return inputs.flatMap(({ node, agents, groups }): TrainGroup[] => {
    const own = agents.map((agent) => byNode.get(node)!.agents[agent]!)
    const { all } = countCompletions(signals, agents[0]!, false).get(node.turn)!
    const samples = own[0]!.critic!.values.map((value, g) => ({
      value,
      g,
      // Agents differ by their KL penalties only; the mean of their squared errors has the gradient of their mean target's.
      valueTarget: own.some((signal) => signal.critic!.targets[g] === null)
        ? null
        : mean(present(own.map((signal) => signal.critic!.targets[g]!))),
      valueWeight: algorithm.critic!.coefficient / all,
    }))
    const trained = (group: EngineGroup, from: number, to: number): TrainGroup[] => {
      const chosen = samples
        .slice(from, to)
        .flatMap((one) => (one.valueTarget === null ? [] : [{ ...one, valueTarget: one.valueTarget }]))
      if (chosen.length === 0) return []
      const completions = chosen.map(({ g, valueTarget, valueWeight }) => {
        const { ids } = group.completions[Math.min(g - from, group.completions.length - 1)]!
        return { ids, weights: new Float32Array(ids.length), valueTarget, valueWeight }
      })
      const oldValues = chosen.map(({ value }) => value)
      const sampledLogProbs = completions.map(() => new Float32Array(0))
      return [{ group: { ...group, completions }, sampledLogProbs, oldValues }]
    }
    return groups.length === 1
      ? trained(groups[0]!, 0, samples.length)
      : groups.flatMap((group, g) => trained(group, g, g + 1))
  })
}

/** Completions of an agent by turn that have an advantage: all, and those that are not masked. */
function countCompletions(signals: readonly NodeSignal[], agent: number, isMasking: boolean) {
  const counts = new Map<number, { all: number; kept: number }>()
  for (const { node, agents } of signals) {
    const count = counts.get(node.turn) ?? { all: 0, kept: 0 }
    const there = node.samples[agent]!.filter((_, g) => agents[agent]!.advantages[g] !== null)
    count.all += there.length
    count.kept += there.filter(({ finish }) => !isMasking || finish === 'stop').length
    counts.set(node.turn, count)
  }
  return counts
}

/** A completion with the weights of its policy terms, and whether any of them is there. */
function policyTerms(
  { ids, logProbs, kept: keptTokens, finish }: Sample,
  g: number,
  { advantages, kl }: AgentSignal,
  kept: number,
  { algorithm, maxNewTokens }: TrainGroupSettings,
): { completion: ScoredCompletion; hasGradient: boolean } {
  const isMasked = algorithm.maskTruncated && finish === 'length'
  const hasKl = algorithm.kl?.as === 'loss'
  const hasPenalty = hasKl || algorithm.entropyCoefficient > 0
  const share = isMasked ? 0 : 1 / (kept * lengthDivisor(ids.length, algorithm, maxNewTokens))
  const completion = {
    ids,
    kept: keptTokens,
    weights: new Float32Array(ids.length).fill(advantages[g]! * share),
    ...(algorithm.clip !== null && { oldLogProbs: logProbs }),
    ...(hasKl && { referenceLogProbs: kl!.logProbs[g]! }),
    ...(hasPenalty && { penaltyWeights: new Float32Array(ids.length).fill(share) }),
  }
  return { completion, hasGradient: !isMasked && (advantages[g] !== 0 || hasPenalty) }
}

/** L of a completion, see {@link trainGroups}. */
export function lengthDivisor(
  tokens: number,
  { lengthNormalization, lengthConstant }: Pick<Algorithm, 'lengthNormalization' | 'lengthConstant'>,
  maxNewTokens: number,
): number {
  if (lengthNormalization === 'none') return 1
  return lengthNormalization === 'mean' ? tokens : (lengthConstant ?? maxNewTokens)
}

function valueTerms({ critic }: Algorithm, signal: AgentSignal, g: number, all: number): Partial<ScoredCompletion> {
  return { valueTarget: signal.critic!.targets[g]!, valueWeight: critic!.coefficient / all }
}
