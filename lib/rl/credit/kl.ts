/** KL(π ‖ π_ref) per token, estimated from samples of π (Schulman 2020, "Approximating KL divergence"). */
import type { KlEstimator } from '../../model/types.ts'
import type { Engine, EngineScoreOptions } from '../backend/engine.ts'
import type { RolloutNode } from '../rollout/tree.ts'

/**
 * The estimate for one token. With d = log π_ref - log π: `k1` is -d, `k2` is d²/2, `k3` is exp(d) - d - 1.
 *
 * @param logProb log π of the token
 * @param reference log π_ref of the token
 */
export function klOfToken(estimator: KlEstimator, logProb: number, reference: number): number {
  const d = reference - logProb
  if (estimator === 'k1') return -d
  if (estimator === 'k2') return (d * d) / 2
  return Math.expm1(d) - d
}

/** The sum of {@link klOfToken} over a completion. */
export function klOfCompletion(estimator: KlEstimator, logProbs: Float32Array, references: Float32Array): number {
  let total = 0
  for (let i = 0; i < logProbs.length; i++) total += klOfToken(estimator, logProbs[i]!, references[i]!)
  return total
}

/** (n, G) log-probabilities of a node's completions under the references; null for agents without one. */
export type ReferenceScores = ReadonlyMap<RolloutNode, (Float32Array[] | null)[]>

/** Scores the completions of all nodes under their agents' references, in one batch. */
export async function scoreReferences(
  engine: Engine,
  nodes: readonly RolloutNode[],
  references: readonly (number | null)[],
  options: EngineScoreOptions,
): Promise<ReferenceScores> {
  const result = new Map(nodes.map((node) => [node, references.map((): Float32Array[] | null => null)]))
  const wanted = nodes.flatMap((node) =>
    references.flatMap((policy, agent) => (policy === null ? [] : [{ node, agent, policy }])),
  )
  const groups = wanted.map(({ node, agent, policy }) => {
    const completions = node.samples[agent]!.map(({ ids, kept }) => ({ ids, kept }))
    return { policy, slot: node.slot, promptIds: node.promptIds[agent]!, completions }
  })
  const { scores } = await engine.score(groups, options)
  for (const [index, { node, agent }] of wanted.entries()) result.get(node)![agent] = scores[index]!.logProbs
  return result
}
