import type { BatchReward, Task } from './types.ts'

/** A reward of many joint completions, and of one at a time made of it. */
export function rewardOf<Item>(batch: BatchReward<Item>): Required<Pick<Task<Item>, 'reward' | 'batch'>> {
  return {
    batch,
    async reward(item, joint, { signal, prompts }) {
      const rewards = await batch.rewards([item], [joint], { signal, ...(prompts && { prompts: [prompts] }) })
      return rewards[0]!
    },
  }
}
