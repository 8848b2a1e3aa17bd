/** Options of the writing tasks with data. */

import type { OptionsOf } from '../../base/validate.ts'
import { missingDelimiter } from '../baselines/options.ts'
import { type ItemSource, sourceOptions } from '../datasets/source.ts'
import { agents, chat, rules } from '../task/options.ts'

/** Settings besides the items. */
export const writingSettings = { rules, chat }

/** All options, as a configuration gives them; `agents: 1` makes the task of a single model. */
export const writingOptions = {
  ...sourceOptions,
  ...writingSettings,
  agents,
  missingDelimiter: missingDelimiter.optional(),
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
