/** Discounted returns of rollout trees (Liu et al., AAAI 2026, Algorithm 1; the tree as in its published code). */
import { mean, present } from '../../base/statistics.ts'
import type { Algorithm } from '../options/algorithm.ts'

/** The part of a node that returns are computed from. */
export interface RewardedNode {
  /** Counted from 0. */
  turn: number
  joints: readonly { reward: number | null; child: RewardedNode | null }[]
}

/** What returns depend on besides rewards, see {@link Algorithm}. */
export type ReturnSettings = Pick<Algorithm, 'discount' | 'turns' | 'ended'>

/**
 * Returns of the joint actions of every given node: R_j = r_j + γ · mean_k R_k over the joint actions k of its child, an
 * estimate of the expectation over what the agents do next. Where nothing follows, R_j = r_j + {@link afterEnd}.
 *
 * A reward that abstained has no return. What follows it still counts in the returns of earlier turns: there it is taken as 0. A joint
 * action with no reward at or below it is in no mean.
 *
 * @param nodes of any number of trees, in any order
 * @returns (J) of each node, in the order of its joint actions
 */
export function treeReturns<Node extends RewardedNode>(
  nodes: readonly Node[],
  settings: ReturnSettings,
): Map<Node, (number | null)[]> {
  const known = new Map<RewardedNode, (number | null)[]>()
  /** Of each joint action what is known of it and of what follows; null for nothing. */
  const valuesOf = (node: RewardedNode): (number | null)[] => {
    let values = known.get(node)
    if (values === undefined) {
      values = node.joints.map(({ reward, child }) => {
        if (child === null) return reward === null ? null : reward + afterEnd(reward, node.turn, settings)
        const next = present(valuesOf(child))
        return next.length === 0 ? reward : (reward ?? 0) + settings.discount * mean(next)
      })
      known.set(node, values)
    }
    return values
  }
  return new Map(
    nodes.map((node) => {
      const values = valuesOf(node)
      return [node, node.joints.map(({ reward }, joint) => (reward === null ? null : values[joint]!))]
    }),
  )
}

/**
 * What a branch that ended at `turn` (from 0) with `reward` has for the turns that are left, T - 1 - turn of them: with `absorb`
 * (γ + γ² + ..) · reward, with `stop` 0. Without it a branch that ends because it is solved has a smaller return than
 * one that failed and goes on, as long as rewards are above 0.
 */
export function afterEnd(reward: number, turn: number, { discount, turns, ended }: ReturnSettings): number {
  let total = 0
  if (ended === 'absorb') for (let left = turns - 1 - turn; left > 0; left--) total = discount * (reward + total)
  return total
}
