/** How often a run is checkpointed: meaning, defaults and bounds. */
import type { z } from 'zod'
import { integer } from '../base/fields.ts'
import { section } from '../base/validate.ts'

/** Fields of {@link CheckpointOptions}. */
export const checkpointShape = {
  /**
   * Steps from one checkpoint to the next. There is also one after the last step, at the end of a run that is stopped, and after
   * each evaluation that is the best so far (with `keepBest`). `0`: only these. Defaults to `20`.
   */
  checkpointEvery: integer({ from: 0 }).default(20),
  /** How many of the newest are kept, besides that of the best evaluation. Defaults to `2`. */
  keepCheckpoints: integer({ from: 1 }).default(2),
}

/** See {@link CheckpointOptions}. */
export const checkpointSection = section(checkpointShape)

/** How often, and how many are kept. */
export interface CheckpointOptions extends z.input<typeof checkpointSection> {}
