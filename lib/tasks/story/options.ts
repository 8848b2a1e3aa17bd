/** The options and items of `story`. */
import { integer } from '../../base/fields.ts'
import type { OptionsOf } from '../../base/validate.ts'
import { ruleOption } from '../task/options.ts'

/** Options of `story`. */
export const storyOptions = {
  /** Number of openings to train on. Defaults to all that are not held out. */
  train: integer({ from: 1 }).optional(),
  /** Number of held-out openings. Defaults to `200`. */
  heldOut: integer({ from: 0 }).default(200),
  ...ruleOption,
}

/** Options of `story`. @interface */
export type StoryOptions = OptionsOf<typeof storyOptions>

/** The beginning of a story. */
export interface StoryItem {
  opening: string
}
