import { join } from 'node:path'
import { ModelFormatError } from './errors.ts'
import { ifMissing } from './if-missing.ts'
import { readFile } from './read-files.ts'

/** The JSON file `name` of a folder, or undefined if there is none. @throws ModelFormatError if it is not JSON */
export async function readJsonFile(folder: string, name: string): Promise<Record<string, unknown> | undefined> {
  const file = join(folder, name)
  const text = await readFile(file, 'utf8').catch(ifMissing(undefined))
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ModelFormatError('ERR_MODEL_FORMAT', `${file} is not JSON: ${(cause as Error).message}.`, {
      details: { file },
      cause,
    })
  }
}
