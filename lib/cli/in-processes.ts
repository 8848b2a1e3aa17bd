/** `--processes N` of a command: it runs again as so many ranks, unless it is one of them. */
import { placeOfProcess } from '../ranks/launcher.ts'
import { runProcesses } from '../ranks/processes.ts'

/**
 * Whether the command was done by ranks that this process started; it then has their exit code.
 *
 * @param count how many; undefined or 1 for this process alone
 * @throws MagrpoError `ERR_RANK` for a launcher's variables that make no sense
 */
export async function runsInProcesses(count: number | undefined): Promise<boolean> {
  if (count === undefined || count === 1 || placeOfProcess() !== null) return false
  process.exitCode = await runProcesses(count, process.argv.slice(2))
  return true
}
