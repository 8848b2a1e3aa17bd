/** `magrpo setup`: the set-up script, as a command. */
import type { Command } from 'commander'

/**
 * Adds `magrpo setup` to the program. The launcher runs the script by itself, compiled or not, so that this is reached only
 * where the program is used without the launcher, and for `--help`.
 */
export function addSetupCommand(program: Command): void {
  program
    .command('setup')
    .description('find or fetch libtorch and build the addon; what is done already is skipped')
    .option('--only <steps>', 'only these steps, such as libtorch,addon')
    .option('--quiet', 'say only what is being done, and errors')
    .action(async (options: { only?: string; quiet?: boolean }) => {
      const script = new URL('../../scripts/setup.mjs', import.meta.url)
      const { main } = (await import(script.href)) as { main: (args: string[]) => Promise<number> }
      const only = options.only === undefined ? [] : ['--only', options.only]
      process.exitCode = await main([...only, ...(options.quiet ? ['--quiet'] : [])])
    })
}
