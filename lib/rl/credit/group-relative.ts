/** Credit of the group-relative algorithms: Liu et al. (AAAI 2026), equation 1. */
import type { AdvantageMode } from '../options/algorithm.ts'
import { completionReturns } from '../rollout/joint.ts'
import { presentAdvantages } from './advantages.ts'
import type { Credit } from './types.ts'

/** Each completion's return, less a KL penalty, against the returns of its agent's group at the node. */
export const groupRelative: Credit = (_nodes, algorithm, { returns, penaltyOf }) => {
  const { scaleByStd, equalRewardEps } = algorithm
  const settings = { advantage: algorithm.advantage as AdvantageMode, scaleByStd, equalRewardEps }
  return (node) => {
    const picks = node.joints.map((action) => action.picks)
    return node.samples.map((samples, agent) => {
      const penalties = penaltyOf(node, agent)
      const credited = completionReturns(picks, returns.get(node)!, agent, samples.length, algorithm.crossCredit).map(
        (value, g) => (value === null ? null : value - penalties[g]!),
      )
      return { returns: credited, ...presentAdvantages(credited, settings), critic: null }
    })
  }
}
