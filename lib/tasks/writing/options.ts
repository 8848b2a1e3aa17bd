/** Options of the writing tasks with data. */

import type { OptionsOf } from '../../base/validate.ts'
import { singleTaskOptions } from '../baselines/options.ts'
import { type ItemSource, sourceOptions } from '../datasets/source.ts'
import { agentsOption, chatOption, ruleOption } from '../task/options.ts'

/** Settings besides the items. */
export const writingSettings = { ...ruleOption, ...chatOption }

/** All options, as a configuration gives them; `agents: 1` makes the task of a single model. */
export const writingOptions = {
  ...sourceOptions,
  ...writingSettings,
  ...agentsOption,
  /** With `agents: 1`, what an answer scores that has no delimiter: see `SingleTaskOptions`. */
  missingDelimiter: singleTaskOptions.missingDelimiter.unwrap().optional(),
}

/** Options that the writing tasks with data share. */
export interface WritingOptions<Item> extends OptionsOf<typeof writingSettings> {
  /** The items to train on. */
  train: ItemSource<Item>
  /** Held-out items for evaluation. Defaults to none. */
  heldOut?: ItemSource<Item>
  /** Told of downloads. */
  log?: (message: string) => void
}
