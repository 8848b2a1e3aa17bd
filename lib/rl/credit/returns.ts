/** Discounted returns of rollout trees (Liu et al., AAAI 2026, Algorithm 1; the tree as in its published code). */
import { mean } from '../../base/statistics.ts'

/** The part of a node that returns are computed from. */
export interface RewardedNode {
  joints: readonly { reward: number; child: RewardedNode | null }[]
}

/**
 * Returns of the joint actions of every given node: R_j = r_j where nothing follows, else r_j + γ · mean_k R_k over the
 * joint actions k of its child, an estimate of the expectation over what the agents do next.
 *
 * @param nodes of any number of trees, in any order
 * @returns (J) of each node, in the order of its joint actions
 */
export function treeReturns<Node extends RewardedNode>(nodes: readonly Node[], discount: number): Map<Node, number[]> {
  const known = new Map<RewardedNode, number[]>()
  const returnsOf = (node: RewardedNode): number[] => {
    let returns = known.get(node)
    if (returns === undefined) {
      returns = node.joints.map(({ reward, child }) =>
        child === null ? reward : reward + discount * mean(returnsOf(child)),
      )
      known.set(node, returns)
    }
    return returns
  }
  return new Map(nodes.map((node) => [node, returnsOf(node)]))
}
