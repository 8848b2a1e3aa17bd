/** Samples of a rollout as they are reported: one row per joint completion. */

import type { NodeSignal } from '../credit/types.ts'
import { jointOf, type RolloutNode } from '../rollout/tree.ts'
import type { SampleRow } from '../types/reports.ts'

/** Where the rows come from. */
interface RowSource {
  step: number
  phase: SampleRow['phase']
  /** (n) */
  agents: readonly string[]
}

/** Rows of all joint actions of one node. Without a signal (evaluations) advantages are null and returns are rewards. */
export function sampleRows(node: RolloutNode, signal: NodeSignal | null, source: RowSource): SampleRow[] {
  return node.joints.map((action, joint) => {
    const completions = jointOf(node, action)
    return {
      step: source.step,
      phase: source.phase,
      item: node.item,
      slot: node.slot,
      turn: node.turn,
      node: node.number,
      joint,
      reward: action.reward,
      parts: action.parts,
      ...(action.reason !== undefined && { reason: action.reason }),
      metrics: action.metrics,
      return: signal === null ? action.reward : signal.returns[joint]!,
      agents: source.agents.map((name, agent) => {
        const { text, ids, finish, logProbSum } = completions[agent]!
        const sample = action.picks[agent]!
        return {
          name,
          prompt: node.prompts[agent]!,
          completion: text,
          tokens: ids.length,
          finish,
          logProbSum,
          sample,
          advantage: signal?.agents[agent]?.advantages[sample] ?? null,
        }
      }),
    }
  })
}
