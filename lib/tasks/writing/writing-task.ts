/** What the writing tasks have in common: two agents, one turn, and a reward that reads only the texts. */

import type { Rules } from '../task/options.ts'
import type { Task } from '../task/types.ts'
import { writingMeter } from './columns.ts'
import type { WritingThresholds } from './reward.ts'
import { maxWritingReward, scoreWriting, textPair, writingMetrics } from './reward.ts'

/** The parts of a task that follow from its thresholds and rules. */
export function writingRewards<Item>(
  name: string,
  thresholds: WritingThresholds,
  rules: Rules,
): Pick<Task<Item>, 'reward' | 'metrics' | 'columns' | 'maxReward'> {
  return {
    reward: (_item, joint) => scoreWriting(...textPair(joint, name), thresholds, rules),
    metrics: (_item, joint) => writingMetrics(...textPair(joint, name), thresholds, rules),
    columns: ({ agents }) => (agents.length === 2 ? writingMeter(thresholds, rules) : null),
    maxReward: maxWritingReward,
  }
}

/** A prompt as plain text or as one user message. */
export function asPrompt(text: string, chat: boolean): ReturnType<Task['observe']> {
  return chat ? [{ role: 'user', content: text }] : text
}
