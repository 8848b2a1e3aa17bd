/** The options and items of `story`. */
import { z } from 'zod'
import type { OptionsOf } from '../../base/validate.ts'
import { ruleOption } from '../task/options.ts'

/** Options of `story`. */
export const storyOptions = {
  /** Number of openings to train on. Defaults to all that are not held out. */
  train: z.int().min(1).optional(),
  /** Number of held-out openings. Defaults to `200`. */
  heldOut: z.int().min(0).default(200),
  ...ruleOption,
}

/** Options of `story`. @interface */
export type StoryOptions = OptionsOf<typeof storyOptions>

/** The beginning of a story. */
export interface StoryItem {
  opening: string
}
