/**
 * Finds libtorch, or gets it, and says which rule won. Run by itself it prints that; `--find` downloads nothing.
 *
 * 1. `MAGRPO_LIBTORCH`, a folder with `include/`, `lib/`, `share/cmake/Torch`;
 * 2. the cache, `~/.cache/magrpo` or `MAGRPO_CACHE`;
 * 3. PyTorch of the `python3` on PATH;
 * 4. a PyTorch wheel by pip, unpacked into the cache: PyTorch's own CPU index first, then the user's pip configuration;
 * 5. an error that lists these ways.
 *
 * With `MAGRPO_CUDA=1` only a CUDA one fits, with nvcc beside it or on PATH, and the wheel is fetched with NVIDIA's packages.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { lastLines, runLong, SetupError } from './setup/common.mjs'
import { addToolkit, checkCudaPlatform, cudaVersion, findToolkit, roomProblem, wantsCuda } from './setup/cuda.mjs'
import { defaultVersion, describe, inspectLibtorch, isSupported, rangeText } from './setup/libtorch-folder.mjs'
import { isAlive } from './setup/lock.mjs'
import { probePython } from './setup/python.mjs'

/** @typedef {import('./setup/libtorch-folder.mjs').Libtorch & { rule: string, toolkit?: string }} FoundLibtorch `toolkit`: CUDA's */

const cpuIndex = 'https://download.pytorch.org/whl/cpu'

/** @returns {string} the folder for everything that is fetched: `MAGRPO_CACHE`, else `~/.cache/magrpo` */
export function cacheFolder(env = process.env) {
  return env.MAGRPO_CACHE ? path.resolve(env.MAGRPO_CACHE) : path.join(env.HOME || os.homedir(), '.cache', 'magrpo')
}

/**
 * Rules 1 to 3: looks, and fetches nothing.
 *
 * @param {Record<string, string | undefined>} env
 * @returns {{ found: FoundLibtorch | null, tried: string[] }} `tried` says for each rule why it did not win
 * @throws {SetupError} `MAGRPO_LIBTORCH` names something that cannot be used
 */
export function findLibtorch(env = process.env) {
  if (wantsCuda(env)) checkCudaPlatform()
  const tried = []
  for (const rule of [fromVariable, fromCache, fromPython]) {
    const result = rule(env)
    if (typeof result !== 'string') return { found: result, tried }
    tried.push(result)
  }
  return { found: null, tried }
}

/**
 * All rules in order; rule 4 downloads about 200 MB once, for CUDA 3 GB.
 *
 * @param {{ env?: Record<string, string | undefined>, log?: (line: string) => void }} options
 * @returns {Promise<FoundLibtorch>}
 * @throws {SetupError} nothing fits; the message lists what was tried and the ways out
 */
export async function getLibtorch({ env = process.env, log = () => {} } = {}) {
  const { found, tried } = findLibtorch(env)
  if (found !== null) return found
  for (const line of tried) log(line)
  const fetched = await fetchWheel(env, log, tried)
  if (fetched !== null) return fetched
  throw new SetupError(nothingFits(env, tried))
}

function nothingFits(env, tried) {
  const cuda = wantsCuda(env)
  const wheel = `torch==${cuda ? cudaVersion : defaultVersion}`
  return [
    `No libtorch ${rangeText} (${cuda ? 'CUDA' : 'CPU'}) was found and none could be fetched. Tried:`,
    ...tried.map((line) => `  - ${line}`),
    'What to do, one of:',
    '  - set MAGRPO_LIBTORCH to an unpacked libtorch (a folder with include/, lib/ and share/cmake/Torch);',
    cuda
      ? `  - install PyTorch with CUDA for python3 (python3 -m pip install ${wheel}) and a CUDA toolkit, and set CUDA_HOME;`
      : `  - install PyTorch for python3: python3 -m pip install ${wheel} --index-url ${cpuIndex}`,
    `  - let pip reach ${wheel}: configure a mirror or proxy (pip config set global.index-url URL), run again.`,
    ...(cuda ? ['  - unset MAGRPO_CUDA to build for the CPU.'] : []),
  ].join('\n')
}

// Why a libtorch cannot be used; null if it can.
function unfit({ dir, version, variant }, env) {
  if (!isSupported(version)) return `version ${version} is outside of the supported range ${rangeText}`
  if (!wantsCuda(env)) {
    return variant === 'cpu'
      ? null
      : `it is a CUDA build (${variant}), which MAGRPO_CUDA=1 asks for, and this is the CPU one`
  }
  if (variant === 'cpu') return 'it is a CPU build, and MAGRPO_CUDA asks for a CUDA one'
  return findToolkit(dir, env) === null
    ? 'there is no CUDA toolkit for it: no nvcc beside it, in CUDA_HOME or on PATH'
    : null
}

// With its toolkit, if it is a CUDA one.
const withToolkit = (libtorch, env) =>
  libtorch.variant === 'cpu' ? libtorch : { ...libtorch, toolkit: findToolkit(libtorch.dir, env) }

function fromVariable(env) {
  if (!env.MAGRPO_LIBTORCH) return 'MAGRPO_LIBTORCH: not set'
  const remedy = `Set it to the folder of a ${wantsCuda(env) ? 'CUDA' : 'CPU'} libtorch ${rangeText}, or unset it to have one found or fetched.`
  let libtorch
  try {
    libtorch = inspectLibtorch(path.resolve(env.MAGRPO_LIBTORCH))
  } catch (error) {
    throw new SetupError(`MAGRPO_LIBTORCH cannot be used. ${error.message} ${remedy}`)
  }
  const reason = unfit(libtorch, env)
  if (reason !== null) throw new SetupError(`MAGRPO_LIBTORCH=${libtorch.dir} cannot be used: ${reason}. ${remedy}`)
  return { ...withToolkit(libtorch, env), rule: 'MAGRPO_LIBTORCH' }
}

function fromCache(env) {
  const cache = cacheFolder(env)
  const cuda = wantsCuda(env)
  const pattern = cuda ? /^libtorch-[\d.]+-cu\w+$/ : /^libtorch-[\d.]+-cpu$/
  const names = existsSync(cache) ? readdirSync(cache).filter((name) => pattern.test(name)) : []
  const versionOf = (name) => name.split('-')[1]
  const preferred = cuda ? cudaVersion : defaultVersion
  // The pinned version first, then the newest.
  names.sort((a, b) => {
    const pinned = (versionOf(b) === preferred) - (versionOf(a) === preferred)
    return pinned || versionOf(b).localeCompare(versionOf(a), 'en', { numeric: true })
  })
  const reasons = []
  for (const name of names) {
    const result = tryFolder(path.join(cache, name, cuda ? 'torch' : ''), env)
    if (typeof result !== 'string') return { ...result, rule: 'cache' }
    reasons.push(`${name}: ${result}`)
  }
  return `cache ${cache}: ${reasons.length > 0 ? reasons.join('; ') : 'no libtorch in it'}`
}

function fromPython(env) {
  const python = probePython(env)
  if (python === null) return 'PyTorch of python3: there is no python3 on PATH'
  if (python.torch === null) return `PyTorch of python3: ${python.path} has none`
  const result = tryFolder(python.torch, env)
  if (typeof result === 'string') return `PyTorch of python3 (${python.torch}): ${result}`
  return { ...result, rule: `PyTorch of ${python.path}` }
}

function tryFolder(dir, env) {
  try {
    const libtorch = inspectLibtorch(dir)
    return unfit(libtorch, env) ?? withToolkit(libtorch, env)
  } catch (error) {
    return error.message
  }
}

// Rule 4. Each try's failure is added to `tried`.
async function fetchWheel(env, log, tried) {
  const python = probePython(env)
  if (python === null || !python.pip) {
    const what = python === null ? 'python3 is missing' : `${python.path} has no pip`
    tried.push(`pip: ${what}; install it (Debian, Ubuntu: sudo apt-get install python3-pip)`)
    return null
  }
  const cuda = wantsCuda(env)
  const version = cuda ? cudaVersion : defaultVersion
  const configured = { name: 'pip as you configured it', args: [] }
  // An index that cannot be reached has to fail at once, since the user's own configuration comes next.
  const cpuArgs = ['--retries', '0', '--timeout', '15', '--index-url', cpuIndex]
  const ways = cuda ? [configured] : [{ name: "pip with PyTorch's CPU index", args: cpuArgs }, configured]
  for (const way of ways) {
    log(`fetching torch ${version} by ${way.name} (about ${cuda ? '3 GB with CUDA' : '200 MB'}, once)`)
    const result = await downloadAndUnpack(env, python.path, way.args)
    if (typeof result !== 'string') return { ...result.libtorch, rule: `${way.name}, from ${result.source}` }
    tried.push(`${way.name}: ${result}`)
    log(`${way.name}: ${result.split('\n')[0]}`)
  }
  return null
}

async function downloadAndUnpack(env, python, args) {
  const cache = cacheFolder(env)
  const work = path.join(cache, `.fetch-${process.pid}`)
  mkdirSync(cache, { recursive: true })
  removeAbandoned(cache)
  const cuda = wantsCuda(env)
  const problem = cuda ? roomProblem(cache) : null
  if (problem !== null) return problem
  mkdirSync(work)
  try {
    const base = ['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', '--disable-pip-version-check']
    const spec = [...args, '--dest', work, `torch==${cuda ? cudaVersion : defaultVersion}`]
    let download = await runLong(python, [...base, ...spec], { env })
    if (!download.ok && /no matching distribution/i.test(download.output)) {
      // This python3 may be too old or new for that torch; the C++ part is the same in the wheel of any Python.
      download = await runLong(python, [...base, '--python-version', '3.11', '--implementation', 'cp', ...spec], {
        env,
      })
    }
    const wheel = readdirSync(work).find((name) => name.endsWith('.whl'))
    if (!download.ok || wheel === undefined) return failureOf(download.output)
    const unzip = await runLong(python, ['-m', 'zipfile', '-e', path.join(work, wheel), work], { env })
    if (!unzip.ok) return `${wheel} could not be unpacked: ${lastLines(unzip.output, 1)}`
    rmSync(path.join(work, wheel))
    const missing = cuda ? await addToolkit({ python, work, env }) : null
    if (missing !== null) return missing
    const libtorch = keepLibtorch(cache, work, env)
    return typeof libtorch === 'string' ? libtorch : { libtorch, source: sourceOf(download.output) ?? wheel }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

// A set-up that was killed could not delete what it had fetched.
function removeAbandoned(cache) {
  for (const name of readdirSync(cache)) {
    const pid = /^\.fetch-(\d+)$/.exec(name)?.[1]
    if (pid !== undefined && (Number(pid) === process.pid || !isAlive(Number(pid)))) {
      rmSync(path.join(cache, name), { recursive: true, force: true })
    }
  }
}

// Where pip took the wheel from: the user's configuration may add places to the index that was named.
const sourceOf = (output) =>
  [...output.matchAll(/^\s*(?:Processing|Downloading|Using cached) (\S+\.whl)(?=\s|$)/gm)].at(-1)?.[1]

const failureOf = (output) =>
  output.split('\n').findLast((line) => line.startsWith('ERROR:')) ?? (lastLines(output, 1) || 'pip gave no wheel')

// Moves the C++ part of the unpacked wheel into the cache in one rename, so that no half a libtorch is ever found there.
function keepLibtorch(cache, work, env) {
  const cuda = wantsCuda(env)
  const kept = path.join(work, 'libtorch')
  // libtorch_cuda looks for NVIDIA's libraries where wheels have them: in ../nvidia.
  const torch = path.join(kept, cuda ? 'torch' : '')
  mkdirSync(torch, { recursive: true })
  for (const part of ['include', 'lib', 'share', 'version.py']) {
    const from = path.join(work, 'torch', part)
    if (existsSync(from)) renameSync(from, path.join(torch, part))
  }
  if (cuda) renameSync(path.join(work, 'nvidia'), path.join(kept, 'nvidia'))
  const libtorch = tryFolder(torch, env)
  if (typeof libtorch === 'string') return libtorch.replaceAll(torch, 'the wheel')
  const target = path.join(cache, `libtorch-${libtorch.version}-${libtorch.variant}`)
  const place = path.join(target, cuda ? 'torch' : '')
  // What stands there was not usable (rule 2 said so) or was put there by another set-up just now.
  if (existsSync(target) && typeof tryFolder(place, env) === 'string') rmSync(target, { recursive: true, force: true })
  if (!existsSync(target)) renameSync(kept, target)
  return withToolkit({ ...libtorch, dir: place }, env)
}

/** @returns {string} the line that says which rule won and what it found */
export function foundLine(libtorch) {
  return `libtorch ${describe(libtorch)} (found by: ${libtorch.rule})`
}

async function main() {
  try {
    if (process.argv.includes('--find')) {
      const { found, tried } = findLibtorch()
      console.log(
        found === null ? `no libtorch found\n${tried.map((line) => `  - ${line}`).join('\n')}` : foundLine(found),
      )
      process.exitCode = found === null ? 1 : 0
    } else {
      console.log(foundLine(await getLibtorch({ log: (line) => console.error(line) })))
    }
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main()
