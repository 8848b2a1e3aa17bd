import { styleText } from 'node:util'

/** A format that `util.styleText` knows. */
export type Format = Parameters<typeof styleText>[0]

/** Puts colour on text, or leaves it as it is where colour is not wanted. */
export type Paint = (format: Format, text: string) => string

/** The part of a stream that decides on colour and width: `process.stderr` is one. */
export interface OutputStream {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

/**
 * Whether a stream gets colour: `NO_COLOR` (not empty) turns it off, `FORCE_COLOR` (neither empty nor `0`) on;
 * else a terminal gets it unless `TERM` is `dumb`.
 */
export function wantsColor(stream: Pick<OutputStream, 'isTTY'>, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0'
  return stream.isTTY === true && env.TERM !== 'dumb'
}

/** The painter for a stream; see {@link wantsColor}. */
export function painterFor(stream: Pick<OutputStream, 'isTTY'>, env: NodeJS.ProcessEnv = process.env): Paint {
  return wantsColor(stream, env) ? paintAlways : paintNever
}

/** Always colours, whatever the environment says: the choice was made by the caller. */
export const paintAlways: Paint = (format, text) => styleText(format, text, { validateStream: false })

/** Never colours. */
export const paintNever: Paint = (_format, text) => text
