/** Tasks for the table engine. */

import type { Joint } from '../../../lib/tasks/task/completion.ts'
import type { Task } from '../../../lib/tasks/task/types.ts'

/** An item of the toy tasks: the number of the prompt all agents see. */
export interface ToyItem {
  prompt: number
}

/** Reward 1 if one agent writes `a` and the other `b`, else 0: no agent can earn anything alone. */
export function complementTask(changes: Partial<Task<ToyItem>> = {}): Task<ToyItem> {
  return {
    name: 'complement',
    agents: ['left', 'right'],
    items: [{ prompt: 0 }, { prompt: 1 }],
    heldOut: [{ prompt: 0 }, { prompt: 1 }],
    observe: (item) => String(item.prompt),
    reward: (_, joint) => ({ total: Number(isComplement(joint)), parts: { left_a: Number(joint[0]?.text === 'a') } }),
    metrics: (_, joint) => ({ same: Number(joint[0]?.text === joint[1]?.text) }),
    maxReward: 1,
    defaults: { maxNewTokens: 1 },
    ...changes,
  }
}

export function isComplement(joint: Joint): boolean {
  const texts = joint.map(({ text }) => text)
  return texts.join('') === 'ab' || texts.join('') === 'ba'
}
