/** The option of a single model that writes for a whole team. */
import { choice, type OptionsOf } from '../../base/validate.ts'

/** See {@link SingleTaskOptions}. */
export const singleTaskOptions = {
  /**
   * What an answer scores that has no delimiter: `strict` takes it for the first agent's text and leaves the others empty, `cut`
   * cuts it at the low end of the task's range, for TLDR after a third. Defaults to `strict`.
   */
  missingDelimiter: choice(['strict', 'cut']).default('strict'),
}

/** Options of `singleTask`. @interface */
export type SingleTaskOptions = OptionsOf<typeof singleTaskOptions>
