/**
 * The cache that all Hugging Face tools share: `models--org--name` and `datasets--org--name`, each with `blobs` (files by their
 * checksums), `snapshots/<commit>` (links to them) and `refs` (the commit of each branch or tag that was asked for).
 */
import * as fs from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { readFile } from '../base/read-files.ts'
import { hubCacheFolder, type Repository } from './access.ts'

// The functions with callbacks: see read-files.ts.
const mkdir = promisify(fs.mkdir)
const rename = promisify(fs.rename)
const symlink = promisify(fs.symlink)
const unlink = promisify(fs.unlink)
const writeFile = promisify(fs.writeFile)

/** Whether a text is a commit: 40 hexadecimal digits. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

/** Folder of a repository in the cache. */
export function repositoryFolder({ type, name }: Repository): string {
  return join(hubCacheFolder(), `${type}s--${name.replaceAll('/', '--')}`)
}

/** Lock file of a repository, which those who download it share. */
export function lockFile({ type, name }: Repository): string {
  return join(hubCacheFolder(), '.locks', `${type}s--${name.replaceAll('/', '--')}`, 'magrpo.lock')
}

/** Folder of one commit's files. */
export const snapshotFolder = (repository: Repository, commit: string): string =>
  join(repositoryFolder(repository), 'snapshots', commit)

/** The commit that the cache has for a branch, tag or commit; undefined if it knows none. */
export async function cachedCommit(repository: Repository, revision: string): Promise<string | undefined> {
  if (isCommit(revision)) return revision
  const file = join(repositoryFolder(repository), 'refs', revision)
  const commit = (await readFile(file, 'utf8').catch(() => '')).trim()
  return isCommit(commit) ? commit : undefined
}

/** Notes the commit of a branch or tag. */
export async function writeRef(repository: Repository, revision: string, commit: string): Promise<void> {
  if (revision === commit) return
  const file = join(repositoryFolder(repository), 'refs', revision)
  await mkdir(dirname(file), { recursive: true })
  const part = `${file}.${process.pid}.part`
  await writeFile(part, commit)
  await rename(part, file)
}

/** Links a file of a snapshot to its blob. */
export async function linkBlob(target: string, blob: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const link = () => symlink(relative(dirname(target), blob), target)
  await link().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
    if (fs.existsSync(target)) return
    // A link to a blob that somebody removed.
    await unlink(target)
    await link()
  })
}

const absentMark = (repository: Repository, commit: string, path: string) =>
  join(repositoryFolder(repository), '.no_exist', commit, path)

/** Whether it is known that a commit has no such file. */
export const isKnownAbsent = (repository: Repository, commit: string, path: string): boolean =>
  fs.existsSync(absentMark(repository, commit, path))

/** Notes that a commit has no such file, so that nobody asks again. */
export async function markAbsent(repository: Repository, commit: string, path: string): Promise<void> {
  const file = absentMark(repository, commit, path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, '')
}
