/** One process at a time works on a run folder: a lock file that names it, and that dies with it. */
import { createHash, randomUUID } from 'node:crypto'
import { constants, copyFile, link, readFile as readSystemFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { cannotWrite } from './cannot-write.ts'
import { MagrpoError } from './errors.ts'
import { ifMissing } from './if-missing.ts'
import { readFile } from './read-files.ts'

/** Who holds a lock, as the file says. */
export interface LockOwner {
  pid: number
  host: string
  /** ISO 8601. */
  since: string
  /** Tells this process from an earlier one of the same number; null where the system does not say. */
  process: string | null
  /** Tells this lock from every other one. */
  id: string
}

/** How often a lock may be gone between finding and reading it: others come and go as well. */
const maxAttempts = 1000

/** A lock that is held. */
export class RunLock {
  readonly #path: string
  readonly #owner: LockOwner

  private constructor(path: string, owner: LockOwner) {
    this.#path = path
    this.#owner = owner
  }

  /**
   * Takes a lock; that of a dead process is taken over.
   *
   * @param path the lock file
   * @throws MagrpoError `ERR_RUN_LOCKED` if a living process holds it, `ERR_RUN` if the file cannot be written
   */
  static async take(path: string): Promise<RunLock> {
    const owner: LockOwner = {
      pid: process.pid,
      host: hostname(),
      since: new Date().toISOString(),
      process: await processStamp(process.pid),
      id: randomUUID(),
    }
    const own = `${path}.${owner.id}`
    try {
      // The file gets its place whole: nobody ever reads half an owner.
      await writeFile(own, `${JSON.stringify(owner, null, 2)}\n`, { flag: 'wx' })
      for (let attempt = 1; !(await linked(own, path)); attempt++) {
        const other = await readOwner(path)
        if (other === undefined && attempt < maxAttempts) continue
        if (other === undefined) throw new Error('it is there, but cannot be read')
        if (await isAlive(other)) throw lockedError(path, other)
        if (await tookOver(path, other, own)) break
      }
    } catch (error) {
      if (error instanceof MagrpoError) throw error
      throw cannotWrite(path, error)
    } finally {
      await rm(own, { force: true }).catch(() => {})
    }
    return new RunLock(path, owner)
  }

  /** Gives the lock back, if it still is this one. */
  async release(): Promise<void> {
    if ((await readOwner(this.#path))?.id === this.#owner.id) await rm(this.#path, { force: true })
  }
}

/** The living process that holds a lock, or undefined. */
export async function lockOwner(path: string): Promise<LockOwner | undefined> {
  const owner = await readOwner(path)
  return owner !== undefined && (await isAlive(owner)) ? owner : undefined
}

/** The error that names who holds a lock. */
export function lockedError(path: string, { pid, host, since }: LockOwner): MagrpoError {
  const elsewhere = host === hostname() ? '' : ` If that machine no longer runs it, remove ${path}.`
  return new MagrpoError(
    'ERR_RUN_LOCKED',
    `Another process works on this run folder: process ${pid} on ${host}, since ${since} (${path}). ` +
      `Wait for its end, or stop it.${elsewhere}`,
    { details: { path, pid, host, since } },
  )
}

/** Whether `to` was free and is `from` now. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPERM' && error.code !== 'ENOTSUP') throw error
      // For file systems without hard links.
      await copyFile(from, to, constants.COPYFILE_EXCL)
    })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/**
 * Puts `own` in the place of a dead process's lock. Only who holds the claim on that very lock may, so that of many one does, and
 * nobody replaces a lock that was taken after it was read.
 */
async function tookOver(path: string, dead: LockOwner, own: string): Promise<boolean> {
  const claim = `${path}.${createHash('sha256').update(dead.id).digest('hex').slice(0, 16)}.claim`
  if (!(await linked(own, claim))) {
    const claimant = await readOwner(claim)
    if (claimant !== undefined && !(await isAlive(claimant))) await rm(claim, { force: true })
    return false
  }
  try {
    if ((await readOwner(path))?.id !== dead.id) return false
    await rename(own, path)
    return true
  } finally {
    await rm(claim, { force: true })
  }
}

/** What a lock file says; undefined if there is none. A file that says nothing is of a dead owner. */
async function readOwner(path: string): Promise<LockOwner | undefined> {
  const text = await readFile(path, 'utf8', 'ERR_RUN').catch(ifMissing(undefined))
  if (text === undefined) return undefined
  const nobody: LockOwner = { pid: 0, host: hostname(), since: '', process: null, id: text }
  try {
    return { ...nobody, ...(JSON.parse(text) as LockOwner) }
  } catch {
    return nobody
  }
}

/** Of a process on another machine nothing is known: it counts as alive. */
async function isAlive({ pid, host, process: stamp }: LockOwner): Promise<boolean> {
  if (host !== hostname()) return true
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = await processStamp(pid)
  return now === null || stamp === null || now === stamp
}

/** Boot and start time of a process, from Linux's /proc: numbers of processes are used again. */
async function processStamp(pid: number): Promise<string | null> {
  try {
    const boot = (await readSystemFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const stat = await readSystemFile(`/proc/${pid}/stat`, 'utf8')
    // The second field is a name in parentheses that may hold anything; the start time is the 22nd field, the state the 3rd.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A process that ended, but that its parent has not asked about, is dead.
    return fields[0] === 'Z' || fields[0] === 'X' ? 'dead' : `${boot} ${fields[19]}`
  } catch {
    return null
  }
}
