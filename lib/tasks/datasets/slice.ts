import { MagrpoError } from '../../base/errors.ts'

/** A split, or a part of one. `undefined` as a name: the source has no splits, or it does not matter. */
export interface SplitSlice {
  name: string | undefined
  start: number
  /** Not included; `Infinity` is the end. A negative start or stop counts from the end, as in Python. */
  stop: number
}

/**
 * Reads a split as data sets write it: `train`, `test[33:133]`, `test[:32]`, `[100:]`, `train[-50:]`.
 *
 * @throws MagrpoError `ERR_ARGUMENT` for anything else
 */
export function parseSplit(text: string): SplitSlice {
  const match = /^([\w.-]*)(?:\[(-?\d*):(-?\d*)\])?$/.exec(text)
  const [, name, start, stop] = match ?? []
  if (!match || text === '' || start === '-' || stop === '-')
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `Expected a split such as train, test[33:133] or [:32] but received ${JSON.stringify(text)}.`,
    )
  return {
    name: name === '' ? undefined : name,
    start: start ? Number(start) : 0,
    stop: stop ? Number(stop) : Infinity,
  }
}
