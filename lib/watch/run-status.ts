import { hostname } from 'node:os'
import { join } from 'node:path'
import { lockOwner } from '../base/file-lock.ts'
import { readFile } from '../base/read-files.ts'
import { runFiles } from '../run/run-folder.ts'

/** How a run stands: it goes on, it ended in one of four ways, or it is gone without having ended. */
type RunStatus = 'running' | 'finished' | 'stopped' | 'aborted' | 'failed' | 'dead'

/** A status and what it was read from, for people. */
export interface StatusReading {
  status: RunStatus
  reason: string
}

/** The content of `result.json`, as far as it is looked at. */
export interface RecordedResult {
  reason?: unknown
  error?: { code?: unknown; message?: unknown }
  [key: string]: unknown
}

/** A run that says nothing for so long, and whose process cannot be looked up, counts as gone. */
export const silentMs = 10 * 60_000

const endings: readonly string[] = ['finished', 'stopped', 'aborted', 'failed']

/**
 * Tells how a run stands, by the process that holds its folder's lock, then by its `result.json`, then by when it last wrote.
 *
 * @param changedAt when a file of the run last changed, in milliseconds since 1970
 */
export async function readStatus(
  folder: string,
  result: RecordedResult | undefined,
  changedAt: number,
  now = Date.now(),
): Promise<StatusReading> {
  const lock = join(folder, runFiles.lock)
  const owner = await lockOwner(lock).catch(() => undefined)
  if (owner?.host === hostname()) return { status: 'running', reason: `process ${owner.pid}` }
  if (typeof result?.reason === 'string' && endings.includes(result.reason)) {
    const message = typeof result.error?.message === 'string' ? `: ${result.error.message}` : ''
    return { status: result.reason as RunStatus, reason: `${result.reason}${message}` }
  }
  const pid = owner === undefined ? (await readJson<{ pid?: unknown }>(lock))?.pid : undefined
  if (pid !== undefined) return { status: 'dead', reason: `process ${pid} is gone and the run did not end` }
  const silent = Math.round((now - changedAt) / 60_000)
  if (now - changedAt < silentMs) return { status: 'running', reason: 'it wrote a short time ago' }
  return { status: 'dead', reason: `the run did not end and has been silent for ${silent} minutes` }
}

/** What a JSON file says; undefined where it is missing or broken. */
export async function readJson<Content>(file: string): Promise<Content | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8', 'ERR_RUN')) as Content
  } catch {
    return undefined
  }
}
