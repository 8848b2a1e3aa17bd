import { MagrpoError } from './errors.ts'

/** The error of a file or folder of a run that cannot be written. */
export function cannotWrite(path: string, cause: unknown): MagrpoError {
  const message = `${path} cannot be written: ${(cause as Error).message}.`
  return new MagrpoError('ERR_RUN', message, { details: { path }, cause })
}
