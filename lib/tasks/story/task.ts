/** Going on with a story twice: one agent briefly, the other at about twice the length. */

import { ConfigError } from '../../base/errors.ts'
import { readOptions } from '../../base/validate.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { tldrThresholds } from '../writing/reward.ts'
import { writingRewards } from '../writing/writing-task.ts'
import { storyBaselines } from './baselines.ts'
import { storyOpening, storyOpeningCount } from './openings.ts'
import { type StoryItem, type StoryOptions, storyOptions } from './options.ts'

/**
 * A writing task for small story models that follow no instructions: both agents get the same opening, as plain text,
 * and the same token limit. The reward is that of the TLDR task, on what they write after the opening; agent `long`
 * has to become longer and richer than agent `short`, which nothing but the reward tells them.
 *
 * Openings come from a grammar, always the same ones in the same order. The held-out ones are the first of that order
 * whatever the size of the training set, so that they are the same for different training sets.
 *
 * @throws ConfigError if the numbers of openings do not fit the `storyOpeningCount` there are
 * @example
 * ```ts
 * const task = tasks.story()
 * task.items[0] // { opening: 'One day, a happy girl named ...' }
 * ```
 */
export function story(options: StoryOptions = {}): Task<StoryItem> {
  const { heldOut, rules, train = storyOpeningCount - heldOut } = readOptions('Task "story"', storyOptions, options)
  if (train < 1 || heldOut + train > storyOpeningCount) {
    const message = `expected 1 to ${storyOpeningCount - heldOut}, what ${heldOut} held-out ones leave of ${storyOpeningCount} openings; received ${train}`
    throw new ConfigError([{ path: 'train', message }], 'Task "story"')
  }
  const openings = (from: number, count: number): StoryItem[] =>
    Array.from({ length: count }, (_, i) => ({ opening: storyOpening(from + i) }))
  return defineTask<StoryItem>({
    name: 'story',
    agents: ['short', 'long'],
    items: openings(heldOut, train),
    heldOut: openings(0, heldOut),
    observe: (item) => item.opening,
    ...writingRewards<StoryItem>('story', tldrThresholds, rules),
    baselines: storyBaselines,
    defaults: { maxNewTokens: 400, temperature: 1 },
  })
}
