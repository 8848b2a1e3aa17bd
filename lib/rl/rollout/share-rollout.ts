/** What the ranks of a run played, put together: every rank then knows the whole rollout. */
import { placeInGrid, type Ranks, rankAt } from '../backend/ranks.ts'
import type { Rollout } from './rollout.ts'
import type { RolloutNode } from './tree.ts'

/**
 * Puts the shares of all rows together, in the order in which one process would have played them.
 *
 * Tokens that a sampler kept are large and needed where a node is trained: only the rank that played it has them.
 *
 * @param name of the gathering, see `Ranks.gather`
 */
export async function shareRollout(
  ranks: Ranks,
  name: string,
  own: Rollout,
  signal: AbortSignal | undefined,
): Promise<Rollout> {
  const place = placeInGrid(ranks)
  const { column, row, rows } = place
  if (rows === 1) return own
  // Ranks of a row know all that it played.
  const members = Array.from({ length: rows }, (_, other) => rankAt(place, column, other))
  const share = { ...own, nodes: withoutKept(own.nodes) }
  const played = await ranks.gather(`${name}/column/${column}`, share, signal, members)
  played[row] = own
  return {
    nodes: inOrder(played.flatMap(({ nodes }) => nodes)),
    generateSeconds: Math.max(...played.map(({ generateSeconds }) => generateSeconds)),
    rewardSeconds: Math.max(...played.map(({ rewardSeconds }) => rewardSeconds)),
    newTokens: played.reduce((sum, { newTokens }) => sum + newTokens, 0),
  }
}

/** Turn by turn, and within a turn by slot and by number: the order of a rollout that is not split. */
export function inOrder(nodes: RolloutNode[]): RolloutNode[] {
  return nodes.sort((a, b) => a.turn - b.turn || a.slot - b.slot || a.number - b.number)
}

/** Copies, so that joint actions lead to copies too. */
function withoutKept(nodes: readonly RolloutNode[]): RolloutNode[] {
  const copies = new Map(
    nodes.map((node) => {
      const samples = node.samples.map((own) => own.map(({ kept: _, ...sample }) => sample))
      return [node, { ...node, samples }]
    }),
  )
  for (const copy of copies.values())
    copy.joints = copy.joints.map((joint) => ({ ...joint, child: joint.child && copies.get(joint.child)! }))
  return [...copies.values()]
}
