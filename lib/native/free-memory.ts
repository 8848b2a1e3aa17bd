/** How much more memory this process may take before the system ends it. */
import { readFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { toMagrpoError } from './call.ts'
import { loadAddon } from './load-addon.ts'

/** What is free, and who says so. */
export interface FreeMemory {
  bytes: number
  /** `system`: the machine's memory; `cgroup`: the limit of a container or service; `device`: a GPU; the others: the user. */
  from: 'system' | 'cgroup' | 'device' | 'MAGRPO_MEMORY_LIMIT' | 'MAGRPO_CUDA_MEMORY_LIMIT'
}

/** What is free on a device. */
export interface FreeDeviceMemory extends FreeMemory {
  /** What the process holds there already; 0 within a limit that the user names, which is for all of the process. */
  heldBytes: number
}

/** Where {@link freeMemory} looks. */
interface FreeMemoryPlaces {
  /** Folder with `proc` and `sys`. Defaults to `/`. */
  root?: string
  /** Defaults to `process.env`. */
  env?: NodeJS.ProcessEnv
  /** What the system calls free where there is no `/proc/meminfo`. Defaults to `os.freemem()`. */
  systemFree?: () => number
}

/**
 * Memory that is free for this process.
 *
 * On Linux the smaller of `MemAvailable` and what the limits of its control groups leave, version 2 or 1, file pages that can be
 * dropped not counted as used. Elsewhere what the system calls free. A rank of a run has an equal share of it (`LOCAL_WORLD_SIZE`). `MAGRPO_MEMORY_LIMIT` (bytes, or `8GiB`, `500MB`) takes the
 * place of all that: more than it for those who know better, or less to leave room for others.
 *
 * @throws MagrpoError `ERR_ARGUMENT` for a MAGRPO_MEMORY_LIMIT that is no size
 */
export function freeMemory(places: FreeMemoryPlaces = {}): FreeMemory {
  const { root = '/', env = process.env, systemFree = freemem } = places
  const limit = env.MAGRPO_MEMORY_LIMIT
  if (limit !== undefined && limit !== '')
    return { bytes: parseSize('MAGRPO_MEMORY_LIMIT', limit), from: 'MAGRPO_MEMORY_LIMIT' }
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(read(join(root, 'proc/meminfo')) ?? '')
  const system = available === null ? systemFree() : Number(available[1]) * 1024
  const group = Math.min(...groupsOf(root).map((folder) => leftOf(folder)))
  // What is free is for all ranks of this machine.
  const ranks = Math.max(1, Number(env.LOCAL_WORLD_SIZE ?? env.OMPI_COMM_WORLD_LOCAL_SIZE ?? 1) || 1)
  const bytes = Math.floor(Math.min(group, system) / ranks)
  return { bytes, from: group < system ? 'cgroup' : 'system' }
}

/**
 * Memory that is free on a device: of the CPU as {@link freeMemory} says, of a CUDA device what its driver says and libtorch keeps
 * unused; `MAGRPO_CUDA_MEMORY_LIMIT` takes the place of that.
 *
 * @throws MagrpoError `ERR_ARGUMENT` for a limit that is no size, `ERR_DEVICE` for a device that cannot be had
 */
export function freeMemoryOf(
  device: string,
  { env = process.env }: { env?: NodeJS.ProcessEnv } = {},
): FreeDeviceMemory {
  if (device === 'cpu') {
    const free = freeMemory({ env })
    return { ...free, heldBytes: free.from === 'MAGRPO_MEMORY_LIMIT' ? 0 : process.memoryUsage.rss() }
  }
  // Of models whose weights are not loaded.
  if (device === 'meta') return { bytes: Number.POSITIVE_INFINITY, from: 'system', heldBytes: 0 }
  const limit = env.MAGRPO_CUDA_MEMORY_LIMIT
  if (limit !== undefined && limit !== '')
    return { bytes: parseSize('MAGRPO_CUDA_MEMORY_LIMIT', limit), from: 'MAGRPO_CUDA_MEMORY_LIMIT', heldBytes: 0 }
  try {
    const { freeBytes, heldBytes } = loadAddon().deviceMemory(device)
    return { bytes: freeBytes, from: 'device', heldBytes }
  } catch (error) {
    throw toMagrpoError(error)
  }
}

/** What has set the bound, as the end of a sentence; empty for the machine itself. */
export function limitOf(from: FreeMemory['from']): string {
  if (from === 'system') return ''
  if (from === 'device') return ' on the device'
  return from === 'cgroup' ? ' within the limit of its control group' : ` (${from})`
}

function parseSize(name: string, text: string): number {
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? []
  const units: Record<string, number> = { '': 1, b: 1 }
  for (const [power, letter] of ['k', 'm', 'g', 't'].entries()) {
    units[letter] = units[`${letter}ib`] = 1024 ** (power + 1)
    units[`${letter}b`] = 1000 ** (power + 1)
  }
  const factor = units[unit.toLowerCase()]
  if (number !== undefined && factor !== undefined) return Math.round(Number(number) * factor)
  throw new MagrpoError(
    'ERR_ARGUMENT',
    `Expected a size such as 8GiB, 500MB or a number of bytes in ${name} but received ${JSON.stringify(text)}.`,
  )
}

/** Folders of the process's control groups that count memory, and of all groups above them. */
function groupsOf(root: string): string[] {
  return (read(join(root, 'proc/self/cgroup')) ?? '').split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined || (controllers !== '' && !controllers!.split(',').includes('memory'))) return []
    const base = join(root, 'sys/fs/cgroup', controllers === '' ? '' : 'memory')
    const names = path.split('/').filter((name) => name !== '' && name !== '..')
    return names.map((_, i) => join(base, ...names.slice(0, i + 1))).concat(base)
  })
}

/** What a group's limit leaves; Infinity where it has none. */
function leftOf(folder: string): number {
  const second = read(join(folder, 'memory.max'))
  const limit = second ?? read(join(folder, 'memory.limit_in_bytes'))
  if (limit === undefined || !/^\d+$/.test(limit.trim())) return Number.POSITIVE_INFINITY
  const used = read(join(folder, second === undefined ? 'memory.usage_in_bytes' : 'memory.current'))
  const stat = read(join(folder, 'memory.stat')) ?? ''
  const dropped = /^(?:total_)?inactive_file (\d+)$/m.exec(
    second === undefined ? stat.replace(/^inactive_file.*$/m, '') : stat,
  )
  return Math.max(0, Number(limit) - Math.max(0, Number(used ?? 0) - Number(dropped?.[1] ?? 0)))
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
