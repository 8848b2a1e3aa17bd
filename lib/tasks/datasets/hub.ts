/** Data sets of the hub, in the cache that all Hugging Face tools share. */
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MagrpoError } from '../../errors.ts'
import { chooseFiles, isComplete } from './hub-files.ts'

/** What is wanted of a data set. */
export interface HubRequest {
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
export interface HubFiles {
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
  const { repository, revision = 'main' } = request
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository))
    throw hubError(repository, 'expected a name of the form organisation/name')
  const folder = join(cacheFolder(), `datasets--${repository.replace('/', '--')}`)
  return (await cachedFiles(folder, revision, request)) ?? download(folder, revision, request)
}

function cacheFolder(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env
  if (HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE) return (HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE)!
  return join(HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface'), 'hub')
}

async function cachedFiles(folder: string, revision: string, request: HubRequest): Promise<HubFiles | null> {
  const isCommit = /^[0-9a-f]{40}$/.test(revision)
  const commit = isCommit ? revision : await readFile(join(folder, 'refs', revision), 'utf8').catch(() => null)
  if (commit === null) return null
  const snapshot = join(folder, 'snapshots', commit.trim())
  const names = await readdir(snapshot, { recursive: true }).catch(() => [])
  const present = names.filter((name) => existsSync(join(snapshot, name)))
  for (const split of request.splits) {
    const files = chooseFiles(present, split, request.config)
    if (Array.isArray(files) && isComplete(files)) return { split, files: files.map((name) => join(snapshot, name)) }
  }
  return null
}

async function download(folder: string, revision: string, request: HubRequest): Promise<HubFiles> {
  const { repository, splits, config, log, signal } = request
  if (/^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? ''))
    throw hubError(
      repository,
      `its split ${splits.join(' or ')} is not in the cache, and HF_HUB_OFFLINE forbids downloads`,
    )
  const hub = await import('@huggingface/hub')
  const hubUrl = process.env.HF_ENDPOINT?.replace(/\/+$/, '') || undefined
  const accessToken = process.env.HF_TOKEN || undefined
  const abortable: typeof fetch = (input, init) => fetch(input, { ...init, ...(signal && { signal }) })
  const access = { hubUrl, accessToken, fetch: abortable }
  const repo = { type: 'dataset', name: repository } as const
  try {
    const { sha } = await hub.datasetInfo({ ...access, name: repository, revision, additionalFields: ['sha'] })
    const entries = new Map<string, { size: number; etag: string }>()
    for await (const { type, path, size, oid, lfs } of hub.listFiles({
      ...access,
      repo,
      revision: sha,
      recursive: true,
    }))
      if (type === 'file') entries.set(path, { size: lfs?.size ?? size, etag: lfs?.oid ?? oid ?? '' })
    const { split, files } = chosen([...entries.keys()], splits, config, repository)
    const snapshot = join(folder, 'snapshots', sha)
    for (const path of files) {
      const target = join(snapshot, path)
      if (existsSync(target)) continue
      const { size, etag } = entries.get(path)!
      log?.(`downloading ${repository}/${path} (${megabytes(size)})`)
      const blob = await hub.downloadFile({ ...access, repo, path, revision: sha })
      if (blob === null) throw hubError(repository, `the file ${path} is listed but cannot be had`)
      await store(blob, join(folder, 'blobs', etag || `${sha}-${path.replaceAll('/', '-')}`), target, size, signal)
    }
    await mkdir(dirname(join(folder, 'refs', revision)), { recursive: true })
    if (revision !== sha) await writeFile(join(folder, 'refs', revision), sha)
    return { split, files: files.map((path) => join(snapshot, path)) }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof MagrpoError) throw error
    const status = (error as { statusCode?: number }).statusCode
    const remedy =
      status === 401 || status === 403
        ? '; set HF_TOKEN to a token that may read it'
        : status === 404
          ? `; there is no such data set or revision (${revision})`
          : '; give the path of a local copy if the hub cannot be reached from here'
    throw hubError(repository, `it cannot be downloaded: ${causeOf(error)}${remedy}`, error)
  }
}

function chosen(
  paths: readonly string[],
  splits: readonly string[],
  config: string | undefined,
  name: string,
): HubFiles {
  for (const split of splits) {
    const files = chooseFiles(paths, split, config)
    if (Array.isArray(files)) return { split, files }
    if (files !== null)
      throw hubError(
        name,
        `it has the split ${split} in several folders (${files.folders.join(', ')}); name one as config`,
      )
  }
  throw hubError(name, `it has no split ${splits.join(' or ')}; its files: ${paths.slice(0, 20).join(', ')}`)
}

/** Writes a blob under its final name only when all of it is there, and links the snapshot's file to it. */
async function store(blob: Blob, path: string, target: string, size: number, signal?: AbortSignal): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await mkdir(dirname(target), { recursive: true })
  if (!existsSync(path)) {
    const incomplete = `${path}.${process.pid}.incomplete`
    try {
      const stream = Readable.fromWeb(blob.stream() as import('node:stream/web').ReadableStream)
      const file = createWriteStream(incomplete)
      await pipeline(stream, file, { signal })
      if (file.bytesWritten !== size) throw new Error(`received ${file.bytesWritten} of ${size} bytes`)
      await rename(incomplete, path)
    } finally {
      await rm(incomplete, { force: true })
    }
  }
  await symlink(relative(dirname(target), path), target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

function causeOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error && cause.message ? `${message} (${cause.message})` : message
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function hubError(repository: string, what: string, cause?: unknown): MagrpoError {
  return new MagrpoError('ERR_DATA', `Data set ${repository} of the hub: ${what}.`, { details: { repository }, cause })
}
