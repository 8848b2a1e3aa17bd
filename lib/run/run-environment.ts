/** `environment.json` of a run: written when it begins, obeyed and continued when it goes on. */
import { describeEnvironment, differences, type Environment } from './environment.ts'
import { type RunFolder, runFiles } from './run-folder.ts'

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
 * @param onWarning told if this environment differs from the first one
 */
export async function recordEnvironment(
  folder: RunFolder,
  native: Record<string, unknown> | null,
  onWarning: (message: string) => void = () => {},
): Promise<void> {
  const environment = { ...(await describeEnvironment()), native }
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
