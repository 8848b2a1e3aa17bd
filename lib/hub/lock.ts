/** One process at a time downloads a repository; others wait for what it fetches. */
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MagrpoError } from '../base/errors.ts'
import { RunLock } from '../base/file-lock.ts'
import { stat } from '../base/read-files.ts'
import type { Repository } from './access.ts'
import { lockFile } from './cache.ts'
import { cannotStore } from './fetch-blob.ts'

const mkdir = promisify(fs.mkdir)
const rm = promisify(fs.rm) as (path: string, options: fs.RmOptions) => Promise<void>
const utimes = promisify(fs.utimes)

/** Who holds a lock shows so much more often than others give it up: the thread may have been terminated within a living process. */
const aliveEveryMs = 5_000
const deadAfterMs = 60_000

/**
 * Runs `work` while no other process or thread does the same for this repository.
 *
 * @param onWaiting called once, with the number of the process that is waited for
 */
export async function withRepositoryLock<T>(
  repository: Repository,
  { signal, onWaiting }: { signal?: AbortSignal; onWaiting?: (pid: number) => void },
  work: () => Promise<T>,
): Promise<T> {
  const path = lockFile(repository)
  const lock = await take(repository, path, signal, onWaiting)
  const beat = setInterval(() => utimes(path, new Date(), new Date()).catch(() => {}), aliveEveryMs)
  beat.unref()
  try {
    return await work()
  } finally {
    clearInterval(beat)
    await lock.release()
  }
}

async function take(
  repository: Repository,
  path: string,
  signal?: AbortSignal,
  onWaiting?: (pid: number) => void,
): Promise<RunLock> {
  try {
    await mkdir(dirname(path), { recursive: true })
  } catch (error) {
    throw cannotStore({ repository }, path, error)
  }
  for (let isFirst = true; ; isFirst = false) {
    signal?.throwIfAborted()
    try {
      return await RunLock.take(path)
    } catch (error) {
      if (!(error instanceof MagrpoError)) throw error
      if (error.code !== 'ERR_RUN_LOCKED') throw cannotStore({ repository }, path, error.cause ?? error)
      if (isFirst) onWaiting?.(error.details.pid as number)
    }
    const seen = await stat(path).catch(() => undefined)
    if (seen !== undefined && Date.now() - seen.mtimeMs > deadAfterMs) await rm(path, { force: true })
    else await sleep(200, undefined, { signal }).catch(() => signal?.throwIfAborted())
  }
}
