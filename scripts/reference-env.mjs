#!/usr/bin/env node
/**
 * The Python environment with the references that `npm run test:full` asks: torch, transformers and PEFT, in the versions that made
 * the golden values, and TensorBoard. It is kept in the cache (`~/.cache/magrpo/reference-venv`, or `MAGRPO_CACHE/reference-venv`).
 *
 *     node scripts/reference-env.mjs          makes it where it is missing; the last line is its Python
 *
 * Packages come by pip with the user's own configuration; a mirror that has CPU builds of torch ("+cpu") saves gigabytes.
 */
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheFolder } from './libtorch.mjs'
import { capture, lastLines, runLong, SetupError } from './setup/common.mjs'
import { probePython } from './setup/python.mjs'

const torch = '2.13.0'
const packages = { transformers: '5.18.0', peft: '0.21.2', safetensors: '0.8.0', tensorboard: '2.21.0' }

/** @returns {string} where the environment's Python is, or would be */
export function referencePythonPath(env = process.env) {
  return path.join(cacheFolder(env), 'reference-venv', 'bin', 'python')
}

/** @returns {string | null} the environment's Python, null unless it is there with all packages in their versions */
export function findReferencePython(env = process.env) {
  const python = referencePythonPath(env)
  if (!existsSync(python)) return null
  const wanted = { torch, ...packages }
  const names = Object.keys(wanted)
  const program = `from importlib.metadata import version\nfor name in ${JSON.stringify(names)}: print(version(name).split('+')[0])`
  const { ok, stdout } = capture(python, ['-c', program], { env })
  return ok && stdout.trim() === Object.values(wanted).join('\n') ? python : null
}

/**
 * The environment's Python; made first where it is missing, which fetches some hundred megabytes once.
 *
 * @param {{ env?: Record<string, string | undefined>, log?: (line: string) => void }} options
 * @returns {Promise<string>}
 * @throws {SetupError} there is no Python with pip, or a package cannot be had
 */
export async function ensureReferencePython({ env = process.env, log = () => {} } = {}) {
  const found = findReferencePython(env)
  if (found !== null) return found
  const system = probePython(env)
  if (system === null)
    throw new SetupError('The references need python3, which is not on PATH. Install Python 3.10 or newer.')
  const folder = path.join(cacheFolder(env), 'reference-venv')
  log(`making ${folder} with ${system.path} (Python ${system.version})`)
  rmSync(folder, { recursive: true, force: true })
  await run(
    system.path,
    ['-m', 'venv', folder],
    env,
    'Install the package python3-venv (Debian, Ubuntu) and run this again.',
  )
  const python = referencePythonPath(env)
  const pip = ['-m', 'pip', 'install', '--only-binary', ':all:', '--disable-pip-version-check', '--progress-bar', 'off']
  log(`fetching torch ${torch}, its CPU build if pip is set up for one`)
  const { ok } = await runLong(python, [...pip, `torch==${torch}+cpu`], { env })
  if (!ok) await run(python, [...pip, `torch==${torch}`], env)
  const rest = Object.entries(packages).map(([name, version]) => `${name}==${version}`)
  log(`fetching ${rest.join(', ')}`)
  await run(python, [...pip, `torch==${torch}`, ...rest], env)
  const made = findReferencePython(env)
  if (made === null)
    throw new SetupError(`${folder} was made but does not have the expected versions. Remove it and run this again.`)
  return made
}

async function run(
  command,
  args,
  env,
  remedy = 'Let pip reach a package index (pip config list shows its settings) and run this again.',
) {
  const { ok, output } = await runLong(command, args, { env })
  if (!ok) throw new SetupError(`${command} ${args.join(' ')} failed:\n${lastLines(output, 8)}\n${remedy}`)
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.stdout.write(`${await ensureReferencePython({ log: (line) => process.stderr.write(`${line}\n`) })}\n`)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
