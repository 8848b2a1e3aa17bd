/** Finds the folder of a model: a local path, or a name in the standard Hugging Face cache. Nothing is downloaded. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { MagrpoError, ModelFormatError } from '../errors.ts'
import { readFile, stat } from './read-files.ts'

/**
 * The folder of `source`: a path to a folder with `config.json`, or `org/name` in the Hugging Face cache (`HF_HUB_CACHE`,
 * `HF_HOME/hub`, or `~/.cache/huggingface/hub`).
 *
 * @throws MagrpoError `ERR_MODEL_NOT_FOUND` listing the places that were looked at
 */
export async function findModelFolder(source: string): Promise<string> {
  const local = resolve(source)
  if (await isFile(join(local, 'config.json'))) return local
  const tried = [local]
  if (/^[\w.-]+\/[\w.-]+$/.test(source)) {
    const repository = join(hubCache(), `models--${source.replace('/', '--')}`)
    tried.push(repository)
    const revision = await readFile(join(repository, 'refs', 'main'), 'utf8').catch(() => undefined)
    const snapshot = revision === undefined ? undefined : join(repository, 'snapshots', revision.trim())
    if (snapshot !== undefined && (await isFile(join(snapshot, 'config.json')))) return snapshot
  }
  throw new MagrpoError(
    'ERR_MODEL_NOT_FOUND',
    `Expected a model folder with config.json for "${source}" but found none. Looked in: ${tried.join(', ')}. ` +
      'Give the path of a folder in Hugging Face layout, or download the model into the Hugging Face cache first.',
    { details: { source, tried } },
  )
}

function hubCache(): string {
  return process.env.HF_HUB_CACHE ?? join(process.env.HF_HOME ?? join(homedir(), '.cache', 'huggingface'), 'hub')
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}

/** The JSON file `name` of a folder, or undefined if there is none. @throws ModelFormatError if it is not JSON */
export async function readJsonFile(folder: string, name: string): Promise<Record<string, unknown> | undefined> {
  const file = join(folder, name)
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
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
