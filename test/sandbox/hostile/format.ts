/**
 * The red team: programs and tests that try to get what is not theirs. A file of kind `NAME.txt` holds many of them, each behind a line
 * `### what it tries`. Programs define `f`, whose tests want its argument doubled: no program here does that, so none may pass.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** One attempt. */
export interface Attempt {
  /** The file it is in, without its ending. */
  kind: string
  /** What it tries. */
  tries: string
  code: string
}

const folder = new URL('.', import.meta.url)

/** All attempts of the files whose names begin with `program-` or `test-`. */
export function attempts(of: 'program' | 'test'): Attempt[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${of}-`) && name.endsWith('.txt'))
    .flatMap((name) =>
      readFileSync(new URL(name, folder), 'utf8')
        .split(/^### /m)
        .slice(1)
        .map((text) => {
          const end = text.indexOf('\n')
          return { kind: name.slice(0, -4), tries: text.slice(0, end), code: text.slice(end + 1) }
        }),
    )
}
