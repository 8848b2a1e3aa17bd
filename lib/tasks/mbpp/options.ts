/** The options of `mbpp`. */

import type { OptionsOf } from '../../base/validate.ts'
import { choice } from '../../base/validate.ts'
import type { CodeDataOptions } from '../code/load-task.ts'

/** Options of `mbpp` alone. */
export const mbppSettings = {
  /**
   * Many problems of the published conversion show no parameters. `repaired`: the prompt gets the signature that the tests call;
   * `published`: both agents get the error sentence of the published formatter. Defaults to `published` for the rules `paper`,
   * else to `repaired`.
   */
  signatures: choice(['repaired', 'published']).optional(),
}

/** Options of `mbpp`. */
export interface MbppOptions extends CodeDataOptions, OptionsOf<typeof mbppSettings> {}
