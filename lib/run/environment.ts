/** `environment.json` of a run: written when it begins, obeyed and continued when it goes on. */
import { arch, availableParallelism, cpus, hostname, release, totalmem } from 'node:os'
import { packageVersion } from '../base/package-version.ts'
import { type RunFolder, runFiles } from './run-folder.ts'

/** What `environment.json` says before the native part is loaded. */
export interface Environment {
  magrpo: string
  node: string
  platform: string
  host: string
  cpu: string
  /** Processors this process may use. */
  cores: number
  memoryBytes: number
  /** Folder that the paths of the configuration are relative to. */
  cwd: string
  /** The command as it was typed, program names left out. */
  arguments: string[]
  /** ISO 8601. */
  startedAt: string
  /** Filled in once the native part is loaded. */
  native: Record<string, unknown> | null
  /** The processes that went on with the run, in order. */
  resumed?: Omit<Environment, 'resumed'>[]
}

/** Describes this process and machine, without loading the native part. */
export async function describeEnvironment(): Promise<Environment> {
  return {
    magrpo: await packageVersion(),
    node: process.version,
    platform: `${process.platform} ${arch()} ${release()}`,
    host: hostname(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    cwd: process.cwd(),
    arguments: process.argv.slice(2),
    startedAt: new Date().toISOString(),
    native: null,
  }
}

/** What decides about the last bits of a number. */
const decisive = ['cpu', 'magrpo'] as const
const decisiveNative = ['libtorchVersion', 'variant', 'cpuCapability', 'threads', 'rowProductRows'] as const

/** In what two environments differ so that equal work need not give equal bits; empty if in nothing. */
function differences(then: Environment, now: Environment): string[] {
  const differing = (name: string, a: unknown, b: unknown) => (a === b ? [] : [`${name}: ${a}, now ${b}`])
  return [
    ...decisive.flatMap((name) => differing(name, then[name], now[name])),
    ...decisiveNative.flatMap((name) =>
      then.native === null || now.native === null ? [] : differing(name, then.native[name], now.native[name]),
    ),
  ]
}

/** The native part, as far as it matters here. */
interface NativeThreads {
  info(): { threads: number }
  setThreads(count: number): void
}

/**
 * Makes the native part work with as many threads as a run that is resumed began with: sums are cut by threads, and their last bits
 * with them.
 *
 * @param loadAddon called only if the run is resumed
 */
export async function restoreThreads(folder: RunFolder, loadAddon: () => NativeThreads): Promise<void> {
  if (!folder.isResumed) return
  const addon = loadAddon()
  const threads = (await folder.readJson<Environment>(runFiles.environment))?.native?.threads
  if (typeof threads === 'number' && threads !== addon.info().threads) addon.setThreads(threads)
}

/**
 * Records this process and machine. A run that is resumed keeps what it began with, and lists those who went on.
 *
 * @param native what is known of the native part; null before it is loaded
 * @param onWarning told if this environment differs from the first one, and if its GPUs are none
 */
export async function recordEnvironment(
  folder: RunFolder,
  native: Record<string, unknown> | null,
  onWarning: (message: string) => void = () => {},
): Promise<void> {
  const environment = { ...(await describeEnvironment()), native }
  if (native?.variant === 'software')
    onWarning(
      'MAGRPO_DEVICE=software: the CUDA devices of this run are software devices, not GPUs. They find errors, slowly.',
    )
  const first = folder.isResumed ? await folder.readJson<Environment>(runFiles.environment) : undefined
  // A run that was killed before the native part was loaded has nothing to be compared with.
  if (!first?.native) {
    await folder.writeJson(runFiles.environment, environment)
    return
  }
  const { resumed = [] } = first
  await folder.writeJson(runFiles.environment, { ...first, resumed: [...resumed, environment] })
  const changes = differences(first, environment)
  if (changes.length > 0)
    onWarning(`Results may differ in their last bits from those of the run's beginning: ${changes.join('; ')}.`)
}
