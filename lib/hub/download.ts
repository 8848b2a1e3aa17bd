/** Files of one commit of a repository: what the hub lists, fetched into the cache. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { inspect } from '../base/inspect.ts'
import { type HubAccess, hubError } from './access.ts'
import { isCommit, linkBlob, repositoryFolder, snapshotFolder } from './cache.ts'
import { cannotStore, fetchBlob, type HubFile, partialOf, sizeOf } from './fetch-blob.ts'

/** What is told of a download, in this order: `lookup` and `start` come before what they announce. */
export type DownloadEvent =
  /** The hub is about to be asked. */
  | { kind: 'lookup'; repository: string; revision: string; hub: string }
  /** Another process downloads the same; its end is waited for. */
  | { kind: 'waiting'; repository: string; pid: number }
  /** Files are about to be fetched; `bytes` is what is still missing of them. */
  | { kind: 'start'; repository: string; commit: string; files: string[]; bytes: number; folder: string }
  /** Part of them is there. */
  | { kind: 'progress'; repository: string; file: string; bytes: number; totalBytes: number }
  /** All are there. */
  | { kind: 'end'; repository: string; commit: string; bytes: number }

/** What the hub lists of one commit. */
export interface HubListing {
  commit: string
  files: ReadonlyMap<string, HubFile>
}

/** Asks the hub for the commit of a revision and its files. @throws MagrpoError as `hubError` */
export async function listFiles(access: HubAccess, revision: string): Promise<HubListing> {
  const { repository, url } = access
  const wrong = (what: string, cause?: unknown) =>
    hubError(repository, 'unreachable', `${url} is no hub that magrpo understands: ${what}`, cause)
  try {
    return await readListing(access, revision, wrong)
  } catch (error) {
    // What the library says of an answer in another form.
    if (error instanceof TypeError || error instanceof SyntaxError) throw wrong(error.message, error)
    throw error
  }
}

async function readListing(
  { repository, url: hubUrl, fetch }: HubAccess,
  revision: string,
  wrong: (what: string) => Error,
): Promise<HubListing> {
  const hub = await import('@huggingface/hub')
  const about = { hubUrl, fetch, name: repository.name, revision }
  const { sha } =
    repository.type === 'dataset'
      ? await hub.datasetInfo({ ...about, additionalFields: ['sha'] })
      : await hub.modelInfo({ ...about, additionalFields: ['sha'] })
  if (typeof sha !== 'string' || !isCommit(sha)) throw wrong(`its commit is ${inspect(sha)}`)
  const files = new Map<string, HubFile>()
  const listing = hub.listFiles({ hubUrl, fetch, repo: repository, revision: sha, recursive: true })
  for await (const { type, path, size, oid, lfs } of listing) {
    if (type !== 'file') continue
    const file = { path, size: lfs?.size ?? size, etag: lfs?.oid ?? oid ?? '' }
    // Both become names of files here.
    if (typeof file.etag !== 'string' || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(file.etag))
      throw wrong(`the checksum of ${path} is ${inspect(file.etag)}`)
    const isName = (part: string) => !/^\.{0,2}$|\p{Cc}/u.test(part)
    if (typeof path !== 'string' || !path.split('/').every(isName)) throw wrong(`it lists ${inspect(path)}`)
    if (!Number.isSafeInteger(file.size) || file.size < 0) throw wrong(`the size of ${path} is ${inspect(file.size)}`)
    files.set(path, file)
  }
  return { commit: sha, files }
}

/** How files are fetched. */
interface FetchOptions {
  signal?: AbortSignal
  onEvent?(event: DownloadEvent): void
}

/**
 * Fetches files of a listing into the cache; those that are there are left as they are.
 *
 * @returns bytes that had to be fetched
 * @throws MagrpoError as `hubError`; the signal's reason
 */
export async function fetchFiles(
  access: HubAccess,
  listing: HubListing,
  paths: readonly string[],
  { signal, onEvent }: FetchOptions = {},
): Promise<number> {
  const { repository } = access
  const { commit } = listing
  const blobs = join(repositoryFolder(repository), 'blobs')
  const folder = snapshotFolder(repository, commit)
  const wanted = paths.map((path) => listing.files.get(path)!).filter(({ path }) => !fs.existsSync(join(folder, path)))
  if (wanted.length === 0) return 0
  // A blob may be there already, of another commit; two files may have one blob.
  const missing = new Map(
    wanted.filter(({ etag }) => !fs.existsSync(join(blobs, etag))).map((file) => [file.etag, file]),
  )
  let totalBytes = 0
  for (const { etag, size } of missing.values())
    totalBytes += Math.max(0, size - (await sizeOf(partialOf(join(blobs, etag)))))
  try {
    await promisify(fs.mkdir)(blobs, { recursive: true })
    await checkSpace(access, blobs, totalBytes)
    const about = { repository: repository.name }
    if (missing.size > 0) {
      const files = [...missing.values()].map(({ path }) => path)
      onEvent?.({ kind: 'start', ...about, commit, files, bytes: totalBytes, folder })
    }
    let before = 0
    for (const file of missing.values()) {
      const blob = join(blobs, file.etag)
      const had = await sizeOf(partialOf(blob))
      const path = file.path.split('/').map(encodeURIComponent).join('/')
      const prefix = repository.type === 'dataset' ? 'datasets/' : ''
      const onBytes = (bytes: number) =>
        onEvent?.({ kind: 'progress', ...about, file: file.path, bytes: before + Math.max(0, bytes - had), totalBytes })
      const url = `${access.url}/${prefix}${repository.name}/resolve/${commit}/${path}`
      await fetchBlob({ access, file, url, blob, onBytes, signal })
      before += Math.max(0, file.size - had)
    }
    for (const { path, etag } of wanted) await linkBlob(join(folder, path), join(blobs, etag))
    if (missing.size > 0) onEvent?.({ kind: 'end', ...about, commit, bytes: totalBytes })
  } catch (error) {
    signal?.throwIfAborted()
    if (typeof (error as NodeJS.ErrnoException).syscall === 'string') throw cannotStore(access, blobs, error)
    throw error
  }
  return totalBytes
}

async function checkSpace({ repository }: HubAccess, folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await promisify(fs.statfs)(folder)
  const free = bavail * bsize
  if (free >= bytes) return
  throw hubError(
    repository,
    'disk_full',
    `${bytes} bytes are to be downloaded, but the disk of ${folder} has ${free} left; make room, or set HF_HOME to a folder on another disk`,
  )
}
