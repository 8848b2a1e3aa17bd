/** Data sets of the hub, in the cache that all Hugging Face tools share. */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { hubAccess, hubError, type Repository } from '../../hub/access.ts'
import { cachedCommit, snapshotFolder, writeRef } from '../../hub/cache.ts'
import { type DownloadEvent, fetchFiles, listFiles } from '../../hub/download.ts'
import { withRepositoryLock } from '../../hub/lock.ts'
import { parseHubName } from '../../hub/names.ts'
import { chooseFiles, isComplete } from './hub-files.ts'

/** What is wanted of a data set. */
interface HubRequest {
  /** `organisation/name`. */
  repository: string
  /** Branch, tag or commit. Defaults to `main`. */
  revision?: string
  /** One of several configurations. */
  config?: string
  /** Names of the split, of which the data set has one. */
  splits: readonly string[]
  /** Told of what is downloaded. */
  log?: (message: string) => void
  signal?: AbortSignal
}

/** Files of a split in the cache, in order. */
interface HubFiles {
  split: string
  files: string[]
}

/**
 * The files of one split, from the cache if they are there, else downloaded into it. The cache is where `HF_HUB_CACHE`,
 * `HF_HOME` or `XDG_CACHE_HOME` say, as for all Hugging Face tools; `HF_ENDPOINT` names another hub, `HF_TOKEN` holds the token,
 * and with `HF_HUB_OFFLINE` set to 1 nothing is downloaded.
 *
 * @throws MagrpoError `ERR_DATA` if the data set, the revision or the split is not there, or cannot be downloaded
 */
export async function hubFiles(request: HubRequest): Promise<HubFiles> {
  const { revision = 'main' } = request
  const repository: Repository = { type: 'dataset', name: request.repository }
  if (parseHubName(`${request.repository}@${revision}`) === null)
    throw hubError(
      repository,
      'not_found',
      'expected a name of the form organisation/name, and a branch, tag or commit as revision',
    )
  return (await cachedFiles(repository, revision, request)) ?? download(repository, revision, request)
}

async function cachedFiles(repository: Repository, revision: string, request: HubRequest): Promise<HubFiles | null> {
  const commit = await cachedCommit(repository, revision)
  if (commit === undefined) return null
  const snapshot = snapshotFolder(repository, commit)
  const names = await readdir(snapshot, { recursive: true }).catch(() => [])
  const present = names.filter((name) => existsSync(join(snapshot, name)))
  for (const split of request.splits) {
    const files = chooseFiles(present, split, request.config)
    if (Array.isArray(files) && isComplete(files)) return { split, files: files.map((name) => join(snapshot, name)) }
  }
  return null
}

async function download(repository: Repository, revision: string, request: HubRequest): Promise<HubFiles> {
  const { splits, config, log, signal } = request
  const access = await hubAccess(repository, `its split ${splits.join(' or ')} is not in the cache`, signal)
  return withRepositoryLock(repository, { signal }, async () => {
    const listing = await listFiles(access, revision)
    const { split, files } = chosen(repository, [...listing.files.keys()], splits, config)
    const onEvent = (event: DownloadEvent) => {
      if (event.kind !== 'start') return
      for (const path of event.files)
        log?.(`downloading ${repository.name}/${path} (${megabytes(listing.files.get(path)!.size)})`)
    }
    await fetchFiles(access, listing, files, { signal, onEvent })
    await writeRef(repository, revision, listing.commit)
    const snapshot = snapshotFolder(repository, listing.commit)
    return { split, files: files.map((path) => join(snapshot, path)) }
  })
}

function chosen(
  repository: Repository,
  paths: readonly string[],
  splits: readonly string[],
  config: string | undefined,
): HubFiles {
  for (const split of splits) {
    const files = chooseFiles(paths, split, config)
    if (Array.isArray(files)) return { split, files }
    if (files !== null)
      throw hubError(
        repository,
        'unusable',
        `it has the split ${split} in several folders (${files.folders.join(', ')}); name one as config`,
      )
  }
  const has = paths.slice(0, 20).join(', ')
  throw hubError(repository, 'unusable', `it has no split ${splits.join(' or ')}; its files: ${has}`)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
