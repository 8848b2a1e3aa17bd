/** Going on with a story twice: one agent briefly, the other at about twice the length. */

import { ConfigError } from '../../base/errors.ts'
import { shown } from '../../base/inspect.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { storyBaselines } from './baselines.ts'
import type { StoryItem } from './items.ts'
import type { WritingRules } from './reward.ts'
import { tldrThresholds } from './reward.ts'
import { storyOpening, storyOpeningCount } from './story-openings.ts'
import { writingRewards } from './writing-task.ts'

/** Options of {@link story}. */
export interface StoryOptions {
  /** Number of openings to train on. Defaults to all that are not held out: 800. */
  train?: number
  /** Number of held-out openings. Defaults to 200. */
  heldOut?: number
  /** Which rule set scores. Defaults to `strict`. */
  rules?: WritingRules
}

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
 * const task = story()
 * task.items[0] // { opening: 'One day, a happy girl named ...' }
 * ```
 */
export function story(options: StoryOptions = {}): Task<StoryItem> {
  const { heldOut = 200 } = options
  checkCount('heldOut', heldOut, 0, storyOpeningCount - 1, '')
  const left = storyOpeningCount - heldOut
  const { train = left } = options
  checkCount('train', train, 1, left, `, what ${heldOut} held-out ones leave of ${storyOpeningCount} openings`)
  const openings = (from: number, count: number): StoryItem[] =>
    Array.from({ length: count }, (_, i) => ({ opening: storyOpening(from + i) }))
  return defineTask<StoryItem>({
    name: 'story',
    agents: ['short', 'long'],
    items: openings(heldOut, train),
    heldOut: openings(0, heldOut),
    observe: (item) => item.opening,
    ...writingRewards<StoryItem>('story', tldrThresholds, options.rules),
    baselines: storyBaselines,
    defaults: { maxNewTokens: 400, temperature: 1 },
  })
}

function checkCount(path: string, value: number, least: number, most: number, why: string): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  const message = `expected a whole number from ${least} to ${most}${why}; received ${shown(value)}`
  throw new ConfigError([{ path, message }], 'Task "story"')
}
