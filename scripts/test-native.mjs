#!/usr/bin/env node
/**
 * `npm run test:native -- [WORDS]`: builds the C++ test programs and runs the tests whose titles contain WORDS, or all. With
 * `MAGRPO_SANITIZE=address,undefined` or `thread` it is built with these sanitizers, in a folder of its own.
 */
import { spawnSync } from 'node:child_process'
import { sanitizersOf } from './setup/addon.mjs'
import { packageRoot as root, SetupError } from './setup/common.mjs'
import { main as setup } from './setup.mjs'
import { buildNativeTests } from './test/native.mjs'

const log = (line) => process.stderr.write(`  ${line}\n`)

async function main(words) {
  // A sanitized build needs libtorch and node modules, but not the addon.
  const isSanitized = sanitizersOf(process.env).length > 0
  const steps = isSanitized
    ? ['--only', 'platform,system,modules,libtorch']
    : ['--only', 'platform,system,modules,libtorch,addon']
  const code = await setup([...steps, '--quiet'])
  if (code !== 0) return code
  const statuses = (await buildNativeTests({ root, log })).map((program) => {
    const { status, signal, error } = spawnSync(program, words, { cwd: root, stdio: 'inherit' })
    if (error) throw new SetupError(`${program}: ${error.message}`)
    if (signal !== null) log(`${program} was ended by ${signal}`)
    return status ?? 1
  })
  // Words are for one of the programs: one that has no such test ends with 3.
  const run = statuses.filter((status) => status !== 3)
  return run.length === 0 ? 1 : Math.max(...run)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  log(error.message)
  process.exitCode = 1
}
