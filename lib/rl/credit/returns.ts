/** Discounted returns of rollout trees (Liu et al., AAAI 2026, Algorithm 1; the tree as in its published code). */
import { mean, present } from '../../base/statistics.ts'

/** The part of a node that returns are computed from. */
export interface RewardedNode {
  joints: readonly { reward: number | null; child: RewardedNode | null }[]
}

/**
 * Returns of the joint actions of every given node: R_j = r_j where nothing follows, else r_j + γ · mean_k R_k over the
 * joint actions k of its child, an estimate of the expectation over what the agents do next.
 *
 * A reward that abstained has no return. What follows it still counts in the returns of earlier turns: there it is taken as 0. A joint
 * action with no reward at or below it is in no mean.
 *
 * @param nodes of any number of trees, in any order
 * @returns (J) of each node, in the order of its joint actions
 */
export function treeReturns<Node extends RewardedNode>(
  nodes: readonly Node[],
  discount: number,
): Map<Node, (number | null)[]> {
  const known = new Map<RewardedNode, (number | null)[]>()
  /** Of each joint action what is known of it and of what follows; null for nothing. */
  const valuesOf = (node: RewardedNode): (number | null)[] => {
    let values = known.get(node)
    if (values === undefined) {
      values = node.joints.map(({ reward, child }) => {
        const next = child === null ? [] : present(valuesOf(child))
        return next.length === 0 ? reward : (reward ?? 0) + discount * mean(next)
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
