/** `npm run dev -- COMMAND`: the command line from its sources, without compiling them to dist/. */
import { main } from '../lib/cli/main.ts'

process.exitCode = await main(process.argv)
