/** Where the same bits for any batch can be had. */
import { MagrpoError } from '../base/errors.ts'
import type { Model } from './model.ts'

/**
 * Refuses `deterministic` on a GPU: its products are those of cuBLAS, whose rounding depends on how many rows there are.
 *
 * @throws MagrpoError `ERR_ARGUMENT`
 */
export function checkDeterministic({ device, source }: Model): void {
  if (device === 'cpu') return
  throw new MagrpoError(
    'ERR_ARGUMENT',
    `Expected a model on the CPU for deterministic: true but "${source}" is on ${device}, where products round by the number of rows.`,
  )
}
