/** The option of a single model that writes for a whole team. */

import type { OptionsOf } from '../../base/validate.ts'
import { choice } from '../../base/validate.ts'

/** What an answer scores that cannot be taken apart. */
export const missingDelimiter = choice(['strict', 'cut']).describe(
  "What an answer scores that has no delimiter: `strict` (the default) takes it for the first agent's text and leaves the others empty, `cut` cuts it at the low end of the task's range, for TLDR after a third.",
)

/** Options of `singleTask`. */
export const singleTaskOptions = { missingDelimiter: missingDelimiter.default('strict') }

/** Options of `singleTask`. @interface */
export type SingleTaskOptions = OptionsOf<typeof singleTaskOptions>
