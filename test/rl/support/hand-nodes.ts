/** Nodes of a rollout tree, written by hand. */
import type { Sample } from '../../../lib/model/types.ts'
import type { JointMode } from '../../../lib/rl/options/algorithm.ts'
import { jointActions } from '../../../lib/rl/rollout/joint.ts'
import { completionOf, type RolloutNode } from '../../../lib/rl/rollout/tree.ts'

/** What a node is made of; completions are of one token, or of `lengths[agent][g]`. */
export interface HandNode {
  turn?: number
  /** (J) */
  rewards: readonly (number | null)[]
  mode?: JointMode
  agents?: number
  groupSize?: number
  lengths?: readonly (readonly number[])[]
  /** (n, G) completions that were cut off. */
  truncated?: readonly (readonly boolean[])[]
  /** (J) */
  children?: readonly (RolloutNode | null)[]
  prompts?: string[]
}

export function handNode(spec: HandNode): RolloutNode {
  const { turn = 0, rewards, mode = 'align', agents = 2, groupSize = 2, lengths, truncated, children } = spec
  const samples = Array.from({ length: agents }, (_, agent) =>
    Array.from({ length: groupSize }, (__, g): Sample => {
      const length = lengths?.[agent]?.[g] ?? 1
      return {
        text: 'ab'[g % 2]!.repeat(length),
        ids: new Int32Array(length).fill(g),
        logProbs: new Float32Array(length).fill(-1),
        entropies: new Float32Array(length),
        modelLogProbs: new Float32Array(length).fill(-1),
        modelEntropies: new Float32Array(length),
        finish: truncated?.[agent]?.[g] ? 'length' : 'stop',
      }
    }),
  )
  return {
    item: 0,
    slot: 0,
    turn,
    number: 0,
    history: [],
    prompts: spec.prompts ?? samples.map((_, agent) => String(agent)),
    promptIds: samples.map((_, agent) => Int32Array.of(agent)),
    samples,
    completions: samples.map((own) => own.map(completionOf)),
    joints: jointActions(mode, agents, groupSize).map((picks, j) => ({
      picks,
      reward: rewards[j]!,
      parts: {},
      metrics: {},
      child: children?.[j] ?? null,
    })),
  }
}
