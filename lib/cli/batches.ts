import { type ErrorCode, MagrpoError } from '../base/errors.ts'
import type { InputLine } from './json-lines-input.ts'

/**
 * Computes results for input lines in batches and hands them on in the order of the input. Batches are cut by count alone, so that
 * equal inputs are always computed in equal batches.
 *
 * A line that cannot be computed ends the work with an error that names it, after the results of all lines before it.
 *
 * @param lines the input
 * @param batchSize most lines of one batch
 * @param compute one result a line, in their order
 * @param emit takes each line's result
 */
export async function inBatches<Result>(
  lines: AsyncIterable<InputLine>,
  batchSize: number,
  compute: (batch: InputLine[]) => Promise<Result[]>,
  emit: (result: Result) => Promise<void>,
): Promise<void> {
  let batch: InputLine[] = []
  const flush = async () => {
    const full = batch
    batch = []
    if (full.length > 0) await computeBatch(full, compute, emit)
  }
  try {
    for await (const line of lines) {
      batch.push(line)
      if (batch.length >= batchSize) await flush()
    }
  } catch (error) {
    if (error instanceof MagrpoError && error.code === 'ERR_DATA') await flush()
    throw error
  }
  await flush()
}

async function computeBatch<Result>(
  batch: InputLine[],
  compute: (batch: InputLine[]) => Promise<Result[]>,
  emit: (result: Result) => Promise<void>,
): Promise<void> {
  let results: Result[]
  try {
    results = await compute(batch)
  } catch (error) {
    if (!isAboutInput(error)) throw error
    if (batch.length > 1) {
      // One line of the batch is to blame: alone, it shows which.
      for (const line of batch) await computeBatch([line], compute, emit)
      return
    }
    const { line } = batch[0]!
    if (error.details.line === line) throw error
    throw new MagrpoError(error.code, `Input line ${line}: ${error.message}`, {
      details: { ...error.details, line },
      cause: error,
    })
  }
  for (const result of results) await emit(result)
}

/** Codes of errors that one input line can be the cause of. */
const inputCodes: readonly ErrorCode[] = [
  'ERR_DATA',
  'ERR_ARGUMENT',
  'ERR_TOKENIZER_MISSING',
  'ERR_CHAT_TEMPLATE',
  'ERR_TOKEN_RANGE',
  'ERR_EMPTY_PROMPT',
  'ERR_PROMPT_TOO_LONG',
  'ERR_REWARD',
  'ERR_TASK',
]

function isAboutInput(error: unknown): error is MagrpoError {
  return error instanceof MagrpoError && inputCodes.includes(error.code)
}
