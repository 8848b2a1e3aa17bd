/** The options and items of `story`. */
import { z } from 'zod'
import type { OptionsOf } from '../../base/validate.ts'
import { rules } from '../task/options.ts'

/** Options of `story`. */
export const storyOptions = {
  train: z.int().min(1).optional().describe('Number of openings to train on. Defaults to all that are not held out.'),
  heldOut: z.int().min(0).default(200).describe('Number of held-out openings.'),
  rules,
}

/** Options of `story`. @interface */
export type StoryOptions = OptionsOf<typeof storyOptions>

/** The beginning of a story. */
export interface StoryItem {
  opening: string
}
