/** magrpo_bench as the suites call it. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const { ensureBenchProgram } = (await import(new URL('./native.mjs', import.meta.url).href)) as {
  ensureBenchProgram(options: { log?: (line: string) => void }): Promise<string>
}

let program: Promise<string> | undefined

/**
 * Runs one command of magrpo_bench, which is compiled first where it is out of date.
 *
 * @returns the objects it printed, one per line
 */
export async function benchProgram<T>(
  args: readonly string[],
  options: { log: (line: string) => void; env: NodeJS.ProcessEnv },
): Promise<T[]> {
  program ??= ensureBenchProgram({ log: options.log })
  const { stdout } = await run(await program, [...args], { env: options.env, maxBuffer: 2 ** 24 })
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
}
