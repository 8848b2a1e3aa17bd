/** From joint returns to what each single completion is credited with. Liu et al. (AAAI 2026), Algorithm 1. */

import type { Algorithm, CrossCredit, JointMode } from '../options/algorithm.ts'

/** Number of joint actions of a node, see {@link jointActions}. */
export function jointCount(
  { jointMode, groupSize }: Pick<Algorithm, 'jointMode' | 'groupSize'>,
  agents: number,
): number {
  return jointMode === 'cross' ? groupSize ** agents : groupSize
}

/**
 * The joint actions of one node, as indices into each agent's samples.
 *
 * `align`: G tuples (j, .., j). `cross`: G^n tuples, the last agent's index running fastest.
 *
 * @returns (J, n)
 */
export function jointActions(mode: JointMode, agents: number, groupSize: number): number[][] {
  if (mode === 'align') return Array.from({ length: groupSize }, (_, j) => new Array<number>(agents).fill(j))
  let tuples: number[][] = [[]]
  for (let agent = 0; agent < agents; agent++) {
    tuples = tuples.flatMap((tuple) => Array.from({ length: groupSize }, (_, g) => [...tuple, g]))
  }
  return tuples
}

/**
 * Returns of one agent's G completions at a node, from the returns of the node's joint actions.
 *
 * In `align` mode each completion is in one joint action and gets its return as it is. In `cross` mode it is in G^(n-1)
 * of them: their mean is an estimate of the same quantity, on the same scale as `align`; the published code takes the sum. Joint
 * actions without a return are left out of the mean, and the sum is the mean times G^(n-1).
 *
 * @param picks (J, n) as from {@link jointActions}
 * @param returns (J) null where a reward abstained
 * @returns (G) null for a completion without any return
 */
export function completionReturns(
  picks: readonly (readonly number[])[],
  returns: readonly (number | null)[],
  agent: number,
  groupSize: number,
  credit: CrossCredit,
): (number | null)[] {
  const totals = new Array<number>(groupSize).fill(0)
  const counts = new Array<number>(groupSize).fill(0)
  picks.forEach((tuple, joint) => {
    const g = tuple[agent]!
    const value = returns[joint]!
    if (value === null) return
    totals[g]! += value
    counts[g]! += 1
  })
  const all = picks.length / groupSize
  return totals.map((total, g) => {
    const count = counts[g]!
    if (count === 0) return null
    return credit === 'sum' ? total * (all / count) : total / count
  })
}
