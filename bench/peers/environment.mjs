/**
 * The peers' programs, kept in the cache (`~/.cache/magrpo`, or `MAGRPO_CACHE`): a Python environment with torch, transformers and
 * TRL, and a folder with node-llama-cpp. They are made when a benchmark first needs them.
 *
 *     node bench/peers/environment.mjs       makes what is missing; the last line is the Python
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheFolder } from '../../scripts/libtorch.mjs'
import { capture, lastLines, runLong, SetupError } from '../../scripts/setup/common.mjs'
import { probePython } from '../../scripts/setup/python.mjs'

const torch = '2.13.0'
const packages = { transformers: '5.18.0', trl: '1.13.0', safetensors: '0.8.0', gguf: '0.19.0' }
/** CoMLRL names wandb among its needs and imports it always; the benchmark goes on without CoMLRL where it cannot be had. */
const comlrl = '1.4.3'
const llamaCpp = '3.22.1'

const folderOf = (env) => path.join(cacheFolder(env), 'peers-venv')

/** @returns {string} folder where models and results of the benchmark are kept */
export function benchFolder(env = process.env) {
  return path.join(cacheFolder(env), 'bench')
}

/** @returns {string | null} the environment's Python, null unless it is there with all packages in their versions */
export function findPeersPython(env = process.env) {
  const python = path.join(folderOf(env), 'bin', 'python')
  if (!existsSync(python)) return null
  const wanted = { torch, ...packages }
  const program = `from importlib.metadata import version\nfor name in ${JSON.stringify(Object.keys(wanted))}: print(version(name).split('+')[0])`
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
export async function ensurePeersPython({ env = process.env, log = () => {} } = {}) {
  const found = findPeersPython(env)
  if (found !== null) return found
  const system = probePython(env)
  if (system === null)
    throw new SetupError('The peers need python3, which is not on PATH. Install Python 3.10 or newer.')
  const folder = folderOf(env)
  log(`making ${folder} with ${system.path} (Python ${system.version})`)
  rmSync(folder, { recursive: true, force: true })
  await run(system.path, ['-m', 'venv', folder], env)
  const python = path.join(folder, 'bin', 'python')
  const pip = ['-m', 'pip', 'install', '--only-binary', ':all:', '--disable-pip-version-check', '--progress-bar', 'off']
  log(`fetching torch ${torch}, its CPU build if pip is set up for one`)
  const { ok } = await runLong(python, [...pip, `torch==${torch}+cpu`], { env })
  if (!ok) await run(python, [...pip, `torch==${torch}`], env)
  const rest = Object.entries(packages).map(([name, version]) => `${name}==${version}`)
  log(`fetching ${rest.join(', ')}`)
  await run(python, [...pip, `torch==${torch}`, ...rest], env)
  log(`fetching comlrl ${comlrl}, if it can be had`)
  const extra = await runLong(python, [...pip, `torch==${torch}`, ...rest, `comlrl==${comlrl}`], { env })
  if (!extra.ok) log(`without comlrl: ${lastLines(extra.output, 1)}`)
  const made = findPeersPython(env)
  if (made === null)
    throw new SetupError(`${folder} was made but does not have the expected versions. Remove it and run this again.`)
  return made
}

/**
 * The folder whose node_modules hold node-llama-cpp; installed first where it is missing.
 *
 * @returns {Promise<string>}
 * @throws {SetupError} it cannot be had
 */
export async function ensureLlamaCpp({ env = process.env, log = () => {} } = {}) {
  const folder = path.join(cacheFolder(env), `node-llama-cpp-${llamaCpp}`)
  const done = path.join(folder, 'done')
  if (existsSync(done)) return folder
  log(`fetching node-llama-cpp ${llamaCpp}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  const npm = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `node-llama-cpp@${llamaCpp}`]
  await run('npm', npm, env, folder)
  writeFileSync(done, '')
  return folder
}

async function run(command, args, env, cwd) {
  const { ok, output } = await runLong(command, args, { env, cwd })
  if (!ok) throw new SetupError(`${command} ${args.join(' ')} failed:\n${lastLines(output, 8)}`)
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const log = (line) => process.stderr.write(`${line}\n`)
    await ensureLlamaCpp({ log }).catch((error) => log(error.message))
    process.stdout.write(`${await ensurePeersPython({ log })}\n`)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
