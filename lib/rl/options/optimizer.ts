/** Settings of the optimizer over a run: their meaning, defaults and bounds. */
import type { z } from 'zod'
import { flag, integer } from '../../base/fields.ts'
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
  /**
   * Spreads AdamW's moments, and the float32 masters of bfloat16 weights, over the ranks of the run (ZeRO stage 1, Rajbhandari et al.,
   * arXiv 1910.02054): each of W processes holds and moves one W-th of every policy's, and the weights are gathered after each step. The
   * results are the same to the last bit, and so are checkpoints, which go on with or without it. For several processes that train
   * all weights (`adapter: full`). Defaults to `false`.
   */
  sharded: flag().default(false),
  /**
   * Keeps AdamW's moments, and the float32 masters of bfloat16 weights, of agents on CUDA devices in the host's memory. A step copies them to
   * the device and back piece by piece, through two buffers of the largest tensor's size. The results are the same to the last bit, and
   * so are checkpoints, which go on with or without it. Refused for agents on the processor, where they are in that memory already.
   * Defaults to `false`.
   */
  offload: flag().default(false),
})

/** AdamW's settings and how the learning rate moves over the run. */
export interface OptimizerOptions extends z.input<typeof optimizerSection> {}

/** {@link OptimizerOptions} with every default filled in. */
export interface ResolvedOptimizer extends z.output<typeof optimizerSection> {}
