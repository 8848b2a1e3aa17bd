import { join } from 'node:path'
import { MagrpoError, ModelFormatError } from './errors.ts'
import { parseJson } from './parse-json.ts'
import { readFile } from './read-files.ts'

/**
 * The text of a file of a model, or undefined if there is no such file.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` if there is one that cannot be read
 */
export async function readModelText(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
    if (cause instanceof MagrpoError) throw cause
    throw new ModelFormatError('ERR_MODEL_FORMAT', `${file} cannot be read: ${cause.message}.`, {
      details: { file },
      cause,
    })
  })
}

/**
 * The JSON object in the file `name` of a folder, or undefined if there is no such file.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` if it holds something else
 */
export async function readJsonFile(folder: string, name: string): Promise<Record<string, unknown> | undefined> {
  const file = join(folder, name)
  const text = await readModelText(file)
  if (text === undefined) return undefined
  const failed = (what: string, cause?: unknown) =>
    new ModelFormatError('ERR_MODEL_FORMAT', what, { details: { file }, cause })
  let value: unknown
  try {
    value = parseJson(text)
  } catch (cause) {
    throw failed(`${file} is not JSON: ${(cause as Error).message}.`, cause)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw failed(`Expected a JSON object in ${file} but received ${text.trim().slice(0, 40)}.`)
}
