/** Runs the command line from its sources: `node --import=tsx test/support/run-cli.ts COMMAND ...`. */
import { main } from '../../lib/cli/main.ts'

process.exitCode = await main(process.argv)
