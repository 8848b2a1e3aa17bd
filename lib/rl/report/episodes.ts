/** Means over episodes: a tree that went on has more nodes than one that ended, and counts no more for it. */
import type { JointAction, RolloutNode } from '../rollout/tree.ts'

/** How much a joint action counts, as a share of its item. */
export interface EpisodeWeight {
  /** Probability that an episode through the tree, drawn evenly at each node, reaches it: adds up to 1 over a turn that all reach. */
  reach: number
  /** Its part in the mean reward of a turn of that episode: adds up to 1 over the tree. */
  share: number
}

/**
 * Weights of all joint actions of rollout trees. An episode is a path from the root to an end; its reward is the mean over the turns
 * that it has, and an item's that over its episodes.
 *
 * @param nodes whole trees, in any order
 */
export function episodeWeights(nodes: readonly RolloutNode[]): Map<JointAction, EpisodeWeight> {
  const weights = new Map<JointAction, EpisodeWeight>()
  const visit = (node: RolloutNode, reach: number): number => {
    const own = reach / node.joints.length
    let total = 0
    for (const action of node.joints) {
      const share = action.child === null ? own / (node.turn + 1) : visit(action.child, own)
      weights.set(action, { reach: own, share })
      total += share
    }
    return total
  }
  for (const node of nodes) if (node.turn === 0) visit(node, 1)
  return weights
}

/** Mean reward of each item that has one, in the order of its root: see {@link episodeWeights}. */
export function itemRewards(nodes: readonly RolloutNode[]): number[] {
  const roots = nodes.filter(({ turn }) => turn === 0)
  const means = roots.map((root) => {
    const weights = episodeWeights([root])
    return meanReward([...weights.keys()], (action) => weights.get(action)!.share)
  })
  return means.filter((value) => !Number.isNaN(value))
}

/** Weighted mean of the rewards, or of a function of them, that did not abstain; NaN where all did. */
export function meanReward(
  actions: readonly JointAction[],
  weightOf: (action: JointAction) => number,
  of: (reward: number) => number = (reward) => reward,
): number {
  const judged = actions.flatMap((action) => (action.reward === null ? [] : [{ reward: action.reward, action }]))
  return weightedMean(
    judged.map(({ reward }) => of(reward)),
    judged.map(({ action }) => weightOf(action)),
  )
}

/** Σ w·v / Σ w; NaN without values. */
export function weightedMean(values: readonly number[], weights: readonly number[]): number {
  let [total, weight] = [0, 0]
  for (const [i, value] of values.entries()) {
    total += weights[i]! * value
    weight += weights[i]!
  }
  return total / weight
}
