#!/usr/bin/env node
// Starts the compiled command line. `setup` runs as it is, since it is what compiles the rest.
import { existsSync } from 'node:fs'

const compiled = new URL('../dist/cli/main.js', import.meta.url)
const [command, ...rest] = process.argv.slice(2)

if (command === 'setup') {
  const { main } = await import('../scripts/setup.mjs')
  process.exitCode = await main(rest)
} else if (existsSync(compiled)) {
  const { main } = await import(compiled.href)
  process.exitCode = await main(process.argv)
} else {
  process.stderr.write('magrpo is not compiled yet. Run: npm run setup (or: npx magrpo setup)\n')
  process.exitCode = 1
}
