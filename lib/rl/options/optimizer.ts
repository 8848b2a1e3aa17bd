/** Settings of the optimizer over a run: their meaning, defaults and bounds. */
import type { z } from 'zod'
import { integer } from '../../base/fields.ts'
import { choice, section } from '../../base/validate.ts'
import { stepShape } from '../../model/step-options.ts'
import { scheduleNames } from './schedule.ts'

/** See {@link OptimizerOptions}. */
export const optimizerSection = section({
  ...stepShape,
  /** How the learning rate goes: `linear` and `cosine` fall to 0 at the end of the run. Defaults to `constant`. */
  schedule: choice(scheduleNames).default('constant'),
  /** Steps over which the learning rate rises linearly to its full value. Defaults to `0`. */
  warmupSteps: integer({ from: 0 }).default(0),
})

/** AdamW's settings and how the learning rate moves over the run. */
export interface OptimizerOptions extends z.input<typeof optimizerSection> {}

/** {@link OptimizerOptions} with every default filled in. */
export interface ResolvedOptimizer extends z.output<typeof optimizerSection> {}
