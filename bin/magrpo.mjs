#!/usr/bin/env node
// Starts the compiled command line. `setup` runs as it is, since it is what compiles the rest.
import { existsSync } from 'node:fs'

const compiled = new URL('../dist/cli/main.js', import.meta.url)
const [command, ...rest] = process.argv.slice(2)

if (command === 'setup') {
  const { main } = await import('../scripts/setup.mjs')
  process.exitCode = await main(rest)
} else if (existsSync(compiled)) {
  process.exitCode = await start()
} else {
  process.stderr.write('magrpo is not compiled yet. Run: npm run setup (or: npx magrpo setup)\n')
  process.exitCode = 1
}

async function start() {
  try {
    const { main } = await import(compiled.href)
    return await main(process.argv)
  } catch (error) {
    // What the program itself reports it has reported: it could not even be loaded.
    const remedy =
      error.code === 'EMFILE' || error.code === 'ENFILE' ? '\nAllow more open files, for example: ulimit -n 4096' : ''
    process.stderr.write(
      `magrpo: cannot be loaded: ${error.message}${remedy}\n${error.code ? `code: ${error.code}\n` : ''}`,
    )
    return 1
  }
}
