/** Rows of Parquet files, read in a process of their own, which a damaged file may bring down without harm. */
import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onAbort } from '../../base/on-abort.ts'
import { checkRegularFile, stat } from '../../base/read-files.ts'
import type { ParquetReply, ParquetRequest } from './parquet-child.ts'
import type { ParquetRow } from './parquet-file.ts'

/** Time for one request: to start with, and per byte of the file, which is read much faster. */
const limitMs = 30_000
const limitMsPerByte = 1 / 1024

/** Memory of the process. A group of rows has to fit in it. */
const heapMegabytes = 2048

/** One row, with the number it has in its file, from 0. */
interface NumberedRow {
  row: number
  value: ParquetRow
}

/**
 * Reads a file's rows in order, one row group at a time.
 *
 * @param start rows to skip; row groups that lie before them are not read
 * @throws Error of the reader if the file is not Parquet, is cut off, has a codec nobody here knows, or takes more time or memory than
 *   files of its size; the signal's reason
 */
export async function* parquetRows(path: string, start = 0, signal?: AbortSignal): AsyncGenerator<NumberedRow> {
  await checkRegularFile(path, 'ERR_DATA')
  const { size } = await stat(path)
  const reader = takeReader()
  try {
    const ask = (request: ParquetRequest) => reader.ask(request, limitMs + size * limitMsPerByte, signal)
    const { groups } = (await ask({ path })) as { groups: number[] }
    let first = 0
    for (const count of groups) {
      const end = first + count
      if (end > start) yield* rowsOf(ask, first, end, start)
      first = end
    }
  } finally {
    reader.release()
  }
}

async function* rowsOf(
  ask: (request: ParquetRequest) => Promise<ParquetReply>,
  first: number,
  end: number,
  start: number,
): AsyncGenerator<NumberedRow> {
  for (let from = Math.max(0, start - first); ; ) {
    const { rows, isLast } = (await ask({ first, end, from })) as { rows: ParquetRow[]; isLast: boolean }
    for (const value of rows) yield { row: first + from++, value }
    if (isLast) return
  }
}

/** A reader that waits for another file; it ends with this process. */
let idle: Reader | undefined

function takeReader(): Reader {
  const taken = idle?.isAlive ? idle : new Reader()
  idle = undefined
  return taken
}

/** A process that reads one file after the other. */
class Reader {
  readonly #child: ChildProcess
  isAlive = true

  constructor() {
    const program = fileURLToPath(new URL(`./parquet-child${extname(import.meta.url)}`, import.meta.url))
    const inherited = process.execArgv.filter((option) => !option.startsWith('--inspect'))
    this.#child = fork(program, {
      execArgv: [...inherited, `--max-old-space-size=${heapMegabytes}`],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#child.on('error', () => {})
    this.#child.once('exit', () => {
      this.isAlive = false
    })
    this.#hold(false)
  }

  /** @throws Error of the reader, or where it ended or took too long; the signal's reason */
  ask(request: ParquetRequest, limit: number, signal?: AbortSignal): Promise<ParquetReply> {
    const child = this.#child
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void) => {
        clearTimeout(timer)
        forget()
        child.off('message', onReply).off('exit', onEnd)
        this.#hold(false)
        settled()
      }
      const fail = (error: unknown) => {
        this.#end()
        settle(() => reject(error))
      }
      const onReply = (reply: ParquetReply) =>
        settle(() => ('error' in reply ? reject(new Error(reply.error)) : resolve(reply)))
      const onEnd = () =>
        fail(new Error(`reading it takes more than ${heapMegabytes} MiB of memory, or fails without a word`))
      const timer = setTimeout(() => fail(new Error(`reading it takes more than ${Math.round(limit / 1000)} s`)), limit)
      const forget = onAbort(signal, () => fail(signal?.reason))
      if (signal?.aborted) return fail(signal.reason)
      if (!this.isAlive) return onEnd()
      this.#hold(true)
      child.on('message', onReply).on('exit', onEnd)
      child.send(request, (error) => error && fail(error))
    })
  }

  /** Keeps the process for another file. */
  release(): void {
    if (!this.isAlive) return
    if (idle === undefined) idle = this
    else this.#end()
  }

  /** Whether the process keeps this one from ending. */
  #hold(isHeld: boolean): void {
    const { channel } = this.#child
    if (isHeld) {
      this.#child.ref()
      channel?.ref()
    } else {
      this.#child.unref()
      channel?.unref()
    }
  }

  #end(): void {
    this.isAlive = false
    this.#child.kill('SIGKILL')
  }
}
