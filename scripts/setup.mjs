#!/usr/bin/env node
/** Sets up everything magrpo needs. Plain Node, so that it runs before `npm install`; a step that is done costs nothing. */
import { realpathSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { foundLine, getLibtorch } from './libtorch.mjs'
import { addonFile, ensureAddon } from './setup/addon.mjs'
import { packageRoot, SetupError } from './setup/common.mjs'
import { withLock } from './setup/lock.mjs'
import { ensureNodeModules, isClone } from './setup/node-modules.mjs'
import { checkPlatform, thisHost } from './setup/platform.mjs'
import { ensurePrograms } from './setup/system.mjs'
import { ensureTypescript } from './setup/typescript.mjs'

/**
 * The steps in their order. `run` returns `{ done }`, what it did, or `{ same }`, why nothing had to be done; `writes` marks
 * those that change this folder.
 *
 * @typedef {{ root: string, env: Record<string, string | undefined>, log: (line: string) => void }} StepContext
 * @type {{ name: string, about: string, writes?: boolean, run: (context: StepContext) => Promise<{ done: string } | { same: string }> }[]}
 */
const steps = [
  {
    name: 'platform',
    about: 'is this machine supported?',
    run: async () => ({ same: checkPlatform(thisHost()) }),
  },
  {
    name: 'system',
    about: 'g++, cmake, python3 with pip, bubblewrap; installed by apt if that is allowed',
    run: async (context) =>
      result(await ensurePrograms(context), 'compiler, cmake, python3 and bubblewrap are installed'),
  },
  {
    name: 'modules',
    writes: true,
    about: 'node modules of package-lock.json',
    run: async (context) =>
      isClone(context.root)
        ? result(await ensureNodeModules(context), 'node modules are those of package-lock.json')
        : { same: 'installed by your package manager' },
  },
  {
    name: 'libtorch',
    about: 'find libtorch, or fetch it into the cache',
    run: async (context) => {
      let fetched = false
      const libtorch = await getLibtorch({
        ...context,
        log: (line) => {
          fetched = true
          context.log(line)
        },
      })
      return fetched ? { done: foundLine(libtorch) } : { same: foundLine(libtorch) }
    },
  },
  {
    name: 'addon',
    writes: true,
    about: 'compile the C++ core',
    run: async (context) => {
      const libtorch = await getLibtorch(context)
      const built = await ensureAddon({ ...context, libtorch })
      return result(built, `${path.relative(context.root, addonFile(context.root, context.env))} is up to date`)
    },
  },
  {
    name: 'typescript',
    writes: true,
    about: 'compile lib/ to dist/',
    run: async (context) =>
      isClone(context.root)
        ? result(await ensureTypescript(context), 'dist/ is up to date')
        : { same: 'the package comes compiled' },
  },
]

const result = (done, same) => (done === null ? { same } : { done })

const help = `Usage: node scripts/setup.mjs [options]     (also: npx magrpo setup)

Sets up magrpo: what is done already is skipped.

Steps:
${steps.map(({ name, about }) => `  ${name.padEnd(12)}${about}`).join('\n')}

Options:
  --only a,b    only these steps
  --quiet       say only what is being done, and errors
  --help

Environment:
  MAGRPO_LIBTORCH   folder of a libtorch to use
  MAGRPO_CACHE      where libtorch and models are kept (default: ~/.cache/magrpo)
  MAGRPO_CUDA       1: the CUDA build, beside the CPU one (downloads 3 GB once; see docs/gpu.md)
  MAGRPO_BUILD_TYPE Debug: compile the addon for a debugger
  CXX               C++ compiler
  CMAKE_BUILD_PARALLEL_LEVEL   compilers to run at a time
`

/**
 * Runs the steps; everything is written to stderr.
 *
 * @param {string[]} args as on the command line
 * @returns {Promise<number>} exit code
 */
export async function main(args, { root = packageRoot, env = process.env } = {}) {
  const print = (line) => process.stderr.write(`${line}\n`)
  try {
    const options = parse(args)
    if (options.help) {
      process.stdout.write(help)
      return 0
    }
    const wanted = steps.filter(({ name }) => options.only === null || options.only.includes(name))
    const work = async () => {
      for (const step of wanted) await runStep(step, { root, env, print, quiet: options.quiet })
    }
    await (wanted.some((step) => step.writes) ? withLock({ root, log: print }, work) : work())
    return 0
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    print(`\nset-up stopped: ${error.message}`)
    return 1
  }
}

function parse(args) {
  let values
  try {
    const options = { only: { type: 'string' }, quiet: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } }
    values = parseArgs({ args, options }).values
  } catch (error) {
    throw new SetupError(`${error.message}\nnode scripts/setup.mjs --help lists the options.`)
  }
  const only = values.only?.split(',') ?? null
  const unknown = only?.find((name) => !steps.some((step) => step.name === name))
  if (unknown !== undefined) {
    throw new SetupError(
      `Expected steps for --only (${steps.map(({ name }) => name).join(', ')}) but received ${unknown}.`,
    )
  }
  return { only, quiet: values.quiet ?? false, help: values.help ?? false }
}

async function runStep(step, { root, env, print, quiet }) {
  const start = performance.now()
  const label = step.name.padEnd(10)
  const outcome = await step.run({ root, env, log: (line) => print(`  ${label}  ${line}`) })
  if (quiet && 'same' in outcome) return
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(6)
  print(`${'done' in outcome ? '+' : '='} ${label} ${seconds} s  ${outcome.done ?? outcome.same}`)
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2))
}
