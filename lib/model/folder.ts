/** Finds the folder of a model or an adapter: a local path, a model of this package, or a name of the hub. */
import { join, resolve } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { stat } from '../base/read-files.ts'
import { parseHubName } from '../hub/names.ts'
import type { DownloadOptions } from './download-options.ts'
import { modelFolder } from './names.ts'

/** Where something was found. */
interface FoundFolder {
  folder: string
  /** Name on the hub and commit, null for a local folder. */
  hub: { name: string; commit: string } | null
}

/**
 * The folder that `source` stands for: a local one with `config.json` (of an adapter: `adapter_config.json`); `builtin:NAME` or
 * `fixture:NAME`; else `org/name` or `org/name@revision` in the standard Hugging Face cache, downloaded into it where it is not there.
 *
 * @throws MagrpoError `ERR_MODEL_NOT_FOUND` listing the places that were looked at; what `pullModel` throws
 */
export async function findFolder(
  source: string,
  kind: 'model' | 'adapter',
  options: DownloadOptions = {},
): Promise<FoundFolder> {
  const local = resolve(modelFolder(source))
  const config = kind === 'model' ? 'config.json' : 'adapter_config.json'
  if (await isFile(join(local, config))) return { folder: local, hub: null }
  const name = parseHubName(source)
  // A folder that is there is meant, whatever it lacks.
  if (name !== null && !(await isFolder(local))) {
    try {
      const { hubFolder } = await import('./pull.ts')
      const found = await hubFolder(name.name, kind, { ...options, revision: options.revision ?? name.revision })
      return { folder: found.folder, hub: { name: name.name, commit: found.commit } }
    } catch (cause) {
      if (!(cause instanceof MagrpoError) || !mayBeNoName.includes(cause.details.reason)) throw cause
      const message = `There is no folder ${local}. ${cause.message}`
      throw new MagrpoError(cause.code, message, { details: { source, ...cause.details }, cause })
    }
  }
  throw new MagrpoError(
    'ERR_MODEL_NOT_FOUND',
    `Expected ${kind === 'model' ? 'a model' : 'an adapter'} with ${config} in ${local} but found none. ` +
      'Give the path of a folder in Hugging Face layout, or a name of the hub (org/name, org/name@revision).',
    { details: { source, tried: [local] } },
  )
}

/** Failures of a name that may have been meant as a path. */
const mayBeNoName: unknown[] = ['not_found', 'offline', 'unreachable', 'unauthorized']

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}
