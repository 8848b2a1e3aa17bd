/**
 * The algorithms once more, in the plainest words: loops over tokens, no weights, gradients by finite differences. What
 * the trainer does with tables must come out the same.
 */
import type { Algorithm } from '../../../lib/rl/options/algorithm.ts'
import type { RolloutNode } from '../../../lib/rl/rollout/tree.ts'
import type { TableEngine } from './table-engine.ts'

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** Who is trained against what. */
export interface NaiveSetting {
  engine: TableEngine
  policy: number
  agent: number
  algorithm: Algorithm
  reference?: number
  /** Advantages in place of group-relative ones. */
  advantages?: Map<RolloutNode, number[]>
}

export function logProbOf(engine: TableEngine, policy: number, prompt: number, position: number, id: number): number {
  return Math.log(engine.row(policy, prompt, position).probabilities[id]!)
}

/** Discounted return of each joint action, by its definition. */
export function returnOf({ reward, child }: RolloutNode['joints'][number], discount: number): number {
  return child === null ? reward! : reward! + discount * average(child.joints.map((joint) => returnOf(joint, discount)))
}

/** Group-relative advantages of `align`, with the mean as baseline. */
export function groupAdvantagesOf(node: RolloutNode, { discount, scaleByStd }: Algorithm): number[] {
  const returns = node.joints.map((joint) => returnOf(joint, discount))
  const centre = average(returns)
  const deviation = Math.sqrt(average(returns.map((value) => (value - centre) ** 2)))
  return returns.map((value) => (scaleByStd ? (value - centre) / Math.max(deviation, 1e-6) : value - centre))
}

/** The objective of one agent for the samples of one turn, at the policy's present logits. */
export function naiveObjective(nodes: readonly RolloutNode[], setting: NaiveSetting, maxNewTokens: number): number {
  const { engine, policy, agent, algorithm, reference } = setting
  let total = 0
  for (const turn of new Set(nodes.map((node) => node.turn))) {
    const terms: number[] = []
    for (const node of nodes.filter((other) => other.turn === turn)) {
      const advantages = setting.advantages?.get(node) ?? groupAdvantagesOf(node, algorithm)
      const prompt = node.promptIds[agent]![0]!
      for (const [g, { ids, logProbs, finish }] of node.samples[agent]!.entries()) {
        if (algorithm.maskTruncated && finish === 'length') continue
        let term = 0
        for (const [position, id] of ids.entries()) {
          const logProb = logProbOf(engine, policy, prompt, position, id)
          if (algorithm.clip) {
            const ratio = Math.exp(logProb - logProbs[position]!)
            const { low, high } = algorithm.clip
            const clipped = Math.max(1 - low, Math.min(ratio, 1 + high))
            term += Math.min(ratio * advantages[g]!, clipped * advantages[g]!)
          } else term += advantages[g]! * logProb
          if (algorithm.kl?.as === 'loss') {
            const other = logProbOf(engine, reference!, prompt, position, id)
            const r = Math.exp(other - logProb)
            const { estimator, coefficient } = algorithm.kl
            const kl =
              estimator === 'k1' ? -Math.log(r) : estimator === 'k2' ? Math.log(r) ** 2 / 2 : r - 1 - Math.log(r)
            term -= coefficient * kl
          }
          const { probabilities } = engine.row(policy, prompt, position)
          for (const p of probabilities) term -= algorithm.entropyCoefficient * p * Math.log(p)
        }
        if (algorithm.lengthNormalization === 'mean') term /= ids.length
        if (algorithm.lengthNormalization === 'constant') term /= algorithm.lengthConstant ?? maxNewTokens
        terms.push(term)
      }
    }
    if (terms.length > 0) total += average(terms)
  }
  return total
}

/** Gradient with respect to a table of logits. */
export function finiteDifferences(logits: Float64Array, objective: () => number): Float64Array {
  return logits.map((kept, i) => {
    const [above, below] = [1e-5, -1e-5].map((shift) => {
      logits[i] = kept + shift
      return objective()
    })
    logits[i] = kept
    return (above! - below!) / 2e-5
  })
}
