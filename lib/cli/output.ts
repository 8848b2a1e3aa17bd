import { MagrpoError } from '../base/errors.ts'

/** A command line that cannot be understood: exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Exit codes of the commands, besides those of signals. */
export const exitCodes = { ok: 0, error: 1, usage: 2 } as const

/**
 * Writes a line to stdout and resolves when the system has taken it, so that a slow reader slows the command down instead of
 * filling its memory. Where nobody reads any more it resolves too: what to do about that is the matter of the stream's listeners.
 *
 * @throws MagrpoError `ERR_OUTPUT` if it cannot be written, for example on a full disk
 */
export function printLine(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) =>
      error && !isClosedPipe(error) ? reject(outputError(error)) : resolve(),
    )
  })
}

/** The error of a standard output that cannot be written. */
export function outputError(cause: NodeJS.ErrnoException): MagrpoError {
  const message = `Standard output cannot be written: ${cause.message}. Make space where it leads, or redirect it elsewhere.`
  return new MagrpoError('ERR_OUTPUT', message, { cause })
}

/** Whether a write failed because its reader has gone. */
export const isClosedPipe = ({ code }: NodeJS.ErrnoException): boolean =>
  code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED'

/** Writes one JSON line to stdout. */
export function printJson(value: unknown): Promise<void> {
  return printLine(JSON.stringify(value))
}

/** Writes a line for people to stderr. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

/**
 * Text of an error as the command line shows it: the message and the code; the stack and what else is known with
 * `DEBUG=magrpo`, or where the error is not one this package throws on purpose.
 */
export function describeError(error: unknown, debug = wantsDebug()): string {
  if (!(error instanceof Error)) return `magrpo: ${String(error)}`
  const code = (error as { code?: unknown }).code
  const lines = [`magrpo: ${error.message}`]
  if (code === 'EMFILE' || code === 'ENFILE') lines.push('Allow more open files, for example: ulimit -n 4096')
  if (typeof code === 'string') lines.push(`code: ${code}`)
  if (debug) {
    lines.push(error.stack ?? '')
    for (let { cause } = error; cause instanceof Error; cause = cause.cause) lines.push(`caused by: ${cause.stack}`)
    if (error instanceof MagrpoError) lines.push(`details: ${JSON.stringify(error.details)}`)
  } else if (!(error instanceof MagrpoError || error instanceof UsageError)) {
    lines.push('DEBUG=magrpo shows where it comes from.')
  }
  return lines.join('\n')
}

function wantsDebug(): boolean {
  return (process.env.DEBUG ?? '').split(/[\s,]+/).some((name) => name === 'magrpo' || name === '*')
}
