/** Settings of a new LoRA adapter, their defaults and their bounds. */
import { z } from 'zod'
import { integer, list, number, seed, text } from '../base/fields.ts'
import { section } from '../base/validate.ts'

/** Fields of an adapter that a team's configuration has, too. */
export const adapterShape = {
  /** Rank of the product B·A that is added to a projection. Defaults to `16`. */
  rank: integer({ from: 1 }).default(16),
  /** B·A is scaled by alpha / rank. Defaults to `2 * rank`. */
  alpha: number({ above: 0 }).optional(),
  /** Projections that get an adapter. Defaults to `all-linear`: all seven of a layer. */
  targets: z.union([z.literal('all-linear'), list(text())]).default('all-linear'),
}

/** See {@link LoraOptions}. */
export const loraSection = section({
  ...adapterShape,
  /** Of A's random start; B starts at zero. Defaults to `0`. */
  seed: seed().default(0),
})

/** Settings of a new adapter, see {@link Policy.lora}. */
export interface LoraOptions extends z.input<typeof loraSection> {}
