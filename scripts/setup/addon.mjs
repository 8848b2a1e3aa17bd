/**
 * Step 5: the addon, built by cmake-js when something it depends on changed: into build/Release/magrpo.node, and the CUDA build
 * (`MAGRPO_CUDA=1`) beside it, into build/cuda/Release/magrpo.node.
 */
import { existsSync, realpathSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fingerprint, lastLines, listFiles, readJson, runLong, SetupError, which, writeJson } from './common.mjs'
import { cudaSettings, wantsCuda } from './cuda.mjs'

/** Memory one compiler takes for a file that includes libtorch's headers. */
const bytesPerJob = 1.2 * 2 ** 30

/** @returns {string} CMake's folder of the variant that `MAGRPO_CUDA` chooses */
export const buildFolder = (root, env = {}) => path.join(root, wantsCuda(env) ? 'build/cuda' : 'build')
/**
 * Sanitizers for the C++ tests, from `MAGRPO_SANITIZE`.
 *
 * @returns {string[]} none, some of `address` and `undefined`, or `thread` alone
 * @throws {SetupError} another name, or a combination that compilers do not support
 */
export function sanitizersOf(env = {}) {
  const names = (env.MAGRPO_SANITIZE ?? '').split(',').filter((name) => name !== '')
  const isKnown = names.join() === 'thread' || names.every((name) => name === 'address' || name === 'undefined')
  if (!isKnown)
    throw new SetupError(
      `Expected address, undefined, address,undefined or thread for MAGRPO_SANITIZE but received ${env.MAGRPO_SANITIZE}.`,
    )
  return [...new Set(names)].sort()
}

/** @returns {string} CMake's folder of the C++ test program: that of the addon, or one of its own with sanitizers */
export function testFolder(root, env = {}) {
  const names = sanitizersOf(env)
  if (names.length === 0) return buildFolder(root, env)
  if (wantsCuda(env)) throw new SetupError('MAGRPO_SANITIZE is for the CPU build. Unset MAGRPO_CUDA.')
  return path.join(root, 'build', `sanitize-${names.join('-')}`)
}

/** @returns {string} CMake's build type from `MAGRPO_BUILD_TYPE`: `Release`, or `Debug` for debuggers */
export function buildTypeOf(env = {}) {
  const type = env.MAGRPO_BUILD_TYPE || 'Release'
  if (type !== 'Release' && type !== 'Debug')
    throw new SetupError(`Expected Release or Debug for MAGRPO_BUILD_TYPE but received ${type}.`)
  return type
}

/** @returns {string} where the addon is built to */
export const addonFile = (root, env = {}) => path.join(buildFolder(root, env), 'Release/magrpo.node')
/** @returns {string} where the last successful build is written down: its fingerprints and its libtorch */
export const stampFile = (root, env = {}) => path.join(buildFolder(root, env), 'setup.json')

/**
 * What a build depends on. `configure` changes where CMake has to run again, `sources` where only compilers have to.
 *
 * @returns {{ configure: string, sources: string }}
 */
export function addonInputs(root, libtorch, env = process.env) {
  const facts = {
    libtorch: [libtorch.dir, libtorch.version, libtorch.variant, libtorch.toolkit ?? null],
    compiler: [env.CC, env.CXX, env.CXXFLAGS, env.LDFLAGS].map((value) => value ?? null),
    // cmake-js takes ninja where it is there; a folder configured for the other generator cannot be used.
    ninja: which('ninja', env) !== null,
    root,
    arch: process.arch,
    // Left out for the default, so that builds made before the setting existed stay valid.
    ...(buildTypeOf(env) === 'Debug' ? { buildType: 'Debug' } : {}),
  }
  // As "files" of package.json: what only the C++ tests and benchmarks compile is no part of the addon.
  const apart = ['test', 'bench'].map((name) => path.join('native', name))
  const isTestOnly = (name) => /[\\/]kernels[\\/][^\\/]+[\\/](reference|test|bench)\.[a-z]+$/.test(name)
  const sources = listFiles(root, 'native', (name) => apart.includes(name) || isTestOnly(name))
  return {
    configure: fingerprint(root, ['CMakeLists.txt', 'package.json'], facts),
    sources: fingerprint(root, sources),
  }
}

/** @returns {'none' | 'build' | 'configure'} the least that brings the addon up to date */
export function addonDecision(root, inputs, env = {}) {
  const stamp = readJson(stampFile(root, env))
  const isConfigured = existsSync(path.join(buildFolder(root, env), 'CMakeCache.txt'))
  if (stamp?.configure !== inputs.configure || !isConfigured) return 'configure'
  return stamp.sources === inputs.sources && existsSync(addonFile(root, env)) ? 'none' : 'build'
}

/** @returns {number} compilers to run at a time: one a core, fewer where memory is short */
export function parallelJobs({ cores = os.availableParallelism(), memory = availableMemory() } = {}) {
  return Math.max(1, Math.min(cores, Math.floor(memory / bytesPerJob)))
}

function availableMemory() {
  const limit = process.constrainedMemory?.() ?? 0
  return limit > 0 ? Math.min(limit, os.freemem()) : os.freemem()
}

/**
 * @param {{ root: string, libtorch: import('../libtorch.mjs').FoundLibtorch, env?: Record<string, string | undefined>,
 *   log: (line: string) => void }} options
 * @returns {Promise<string | null>} what was built; null if it was up to date
 * @throws {SetupError} with the compiler's own words
 */
export async function ensureAddon({ root, libtorch, env = process.env, log }) {
  const inputs = addonInputs(root, libtorch, env)
  const decision = addonDecision(root, inputs, env)
  if (decision === 'none') return null
  const jobs = parallelJobs()
  const buildEnv = { ...env, CMAKE_BUILD_PARALLEL_LEVEL: env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(jobs) }
  if (decision === 'configure') await configure({ root, libtorch, env: buildEnv })
  log(`compiling the addon with ${buildEnv.CMAKE_BUILD_PARALLEL_LEVEL} jobs (minutes, the first time)`)
  await build({ root, env: buildEnv, target: 'magrpo', log })
  writeJson(stampFile(root, env), { ...inputs, libtorch })
  return `built ${path.relative(root, addonFile(root, env))}`
}

/** Runs CMake. Settings of an earlier configuration for another folder, libtorch or generator are dropped first. */
async function configure({ root, libtorch, env, folder = buildFolder(root, env), extra = [] }) {
  rmSync(path.join(folder, 'CMakeCache.txt'), { force: true })
  rmSync(path.join(folder, 'CMakeFiles'), { recursive: true, force: true })
  const torch = path.join(realpathSync(libtorch.dir), 'share/cmake/Torch')
  const settings = [`--CDTorch_DIR=${torch}`, `--CDMAGRPO_BUILD_TYPE=${buildTypeOf(env)}`, ...extra]
  if (which('ccache', env)) settings.push('--CDCMAKE_CXX_COMPILER_LAUNCHER=ccache')
  if (wantsCuda(env)) settings.push(...cudaSettings(libtorch.toolkit))
  await cmakeJs({ root, folder, args: ['configure', ...settings], env, onLine: () => {} })
}

/** Configures the folder of a build with sanitizers, unless that has been done with the same settings. */
export async function configureSanitized({ root, libtorch, env }) {
  const folder = testFolder(root, env)
  const stamp = path.join(folder, 'setup.json')
  const { configure: inputs } = addonInputs(root, libtorch, env)
  if (readJson(stamp)?.configure === inputs && existsSync(path.join(folder, 'CMakeCache.txt'))) return
  const extra = [`--CDMAGRPO_SANITIZE=${sanitizersOf(env).join(',')}`, '--CDMAGRPO_TESTS=ON']
  await configure({ root, libtorch, env, folder, extra })
  writeJson(stamp, { configure: inputs })
}

/** Builds one target of a configured build folder. */
export async function build({ root, env, target, log, folder = buildFolder(root, env) }) {
  const jobs = env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(parallelJobs())
  const onLine = progress(log)
  await cmakeJs({
    root,
    folder,
    args: ['build', '--target', target],
    env: { ...env, CMAKE_BUILD_PARALLEL_LEVEL: jobs },
    onLine,
  })
}

async function cmakeJs({ root, folder, args, env, onLine }) {
  const command = cmakeJsCommand(root)
  const places = ['--directory', root, '--out', folder]
  const { ok, output } = await runLong(process.execPath, [command, ...args, ...places], { cwd: root, env, onLine })
  if (!ok) throw new SetupError(buildFailure(args[0], output))
}

function cmakeJsCommand(root) {
  try {
    return createRequire(path.join(root, 'package.json')).resolve('cmake-js/bin/cmake-js')
  } catch {
    throw new SetupError(
      'The node module cmake-js is missing. In a clone: npm run setup. Elsewhere: npm install magrpo',
    )
  }
}

/** @returns {string} the message for a failed build: the errors, and a remedy where the cause is known */
export function buildFailure(phase, output) {
  const lines = output.split('\n')
  const first = lines.findIndex((line) => /\b(fatal )?error\b|CMake Error|FAILED:/i.test(line))
  const shown =
    first < 0
      ? lastLines(output, 25)
      : lines
          .slice(first, first + 25)
          .join('\n')
          .trimEnd()
  const remedy = remedies.find(({ pattern }) => pattern.test(output))?.text
  return [`The addon could not be built (cmake-js ${phase}).`, ...(remedy ? [remedy] : []), shown].join('\n')
}

const remedies = [
  {
    pattern: /Killed signal|terminated.*signal 9|cannot allocate memory|out of memory/i,
    text: 'Memory ran out. Run again with fewer compilers: CMAKE_BUILD_PARALLEL_LEVEL=1',
  },
  {
    pattern: /No CMAKE_CXX_COMPILER|compiler[\s\S]{0,300}?(not found|is not able to compile|is broken)/i,
    text: 'There is no working C++ compiler. On Debian or Ubuntu: sudo apt-get install g++ (or set CXX to one that works)',
  },
  {
    pattern: /unrecognized command[- ]line option.*std=|requires? (the language dialect|.*C\+\+20)/i,
    text: 'The compiler does not know C++20. Use g++ 11 or clang 14 or newer: set CXX to it and run again.',
  },
  { pattern: /No space left on device/i, text: 'The disk is full.' },
]

// One line for every tenth of the work, from ninja's [3/40] or make's [ 7%].
function progress(log) {
  let shown = 0
  return (line) => {
    const match = /^\[\s*(\d+)(?:\/(\d+)|%)\]/.exec(line)
    if (match === null) return
    const percent = match[2] === undefined ? Number(match[1]) : (100 * Number(match[1])) / Number(match[2])
    if (percent < shown + 10) return
    shown = Math.floor(percent / 10) * 10
    log(`compiling: ${shown} %`)
  }
}
