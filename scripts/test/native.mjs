/**
 * Builds the C++ test programs: in the folder of the addon, or with sanitizers (`MAGRPO_SANITIZE`) in a folder of its own. The tests of
 * devices are a program of their own where the software device takes a GPU's place, since every later operation of libtorch would
 * know of it.
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { getLibtorch } from '../libtorch.mjs'
import { build, configureSanitized, sanitizersOf, testFolder } from '../setup/addon.mjs'
import { capture, SetupError } from '../setup/common.mjs'
import { wantsCuda } from '../setup/cuda.mjs'
import { withLock } from '../setup/lock.mjs'

/** @typedef {{ root: string, env?: Record<string, string | undefined>, log: (line: string) => void }} Options */

/**
 * Builds all tests, or for the thread sanitizer those of what runs threads of its own.
 *
 * @param {Options} options
 * @returns {Promise<string[]>} paths of the programs
 * @throws {SetupError} with the compiler's messages
 */
export async function buildNativeTests({ root, env = process.env, log }) {
  // libtorch is not instrumented, and the software device's memory is none that sanitizers know.
  const hasSoftwareDevice = process.platform === 'linux' && !wantsCuda(env) && sanitizersOf(env).length === 0
  const program = sanitizersOf(env).includes('thread') ? 'magrpo_thread_test' : 'magrpo_test'
  const targets = [program, ...(hasSoftwareDevice ? ['magrpo_device_test'] : [])]
  const folder = await buildWithTests({ root, env, log, targets })
  return targets.map((target) => path.join(folder, ...(target === 'magrpo_device_test' ? ['Release'] : []), target))
}

/**
 * Builds the addon with sanitizers; {@link preloadedLibraries} have to be in the process that loads it.
 *
 * @param {Options} options
 * @returns {Promise<string>} path of the addon, which is not the one that the package loads
 * @throws {SetupError} with the compiler's messages; `MAGRPO_SANITIZE` is not set
 */
export async function buildSanitizedAddon({ root, env = process.env, log }) {
  if (sanitizersOf(env).length === 0) throw new SetupError('Set MAGRPO_SANITIZE to build an addon with sanitizers.')
  return path.join(await buildWithTests({ root, env, log, targets: ['magrpo'] }), 'Release/magrpo.node')
}

/**
 * The libraries of the address and undefined sanitizers, as `LD_PRELOAD` takes them: node was not built for sanitizers, so they must
 * be there before the addon is. The C++ library comes with them, since they look for its functions at once.
 *
 * @returns {string | null} null if the compiler does not say where they are, or does not have them
 */
export function preloadedLibraries(env = process.env) {
  const files = ['libasan.so', 'libubsan.so', 'libstdc++.so'].map((name) =>
    capture(env.CXX || 'c++', [`-print-file-name=${name}`], { env }).stdout.trim(),
  )
  return files.every((file) => path.isAbsolute(file) && existsSync(file)) ? files.join(':') : null
}

/** @returns {Promise<string>} the build folder */
async function buildWithTests({ root, env, log, targets }) {
  const folder = testFolder(root, env)
  const isSanitized = sanitizersOf(env).length > 0
  // One ninja at a time in a build folder.
  await withLock({ root, log }, async () => {
    if (isSanitized) await configureSanitized({ root, libtorch: await getLibtorch({ root, env, log }), env })
    const cache = path.join(folder, 'CMakeCache.txt')
    if (!/^MAGRPO_TESTS:BOOL=ON$/m.test(existsSync(cache) ? readFileSync(cache, 'utf8') : '')) {
      const { ok, stderr } = capture('cmake', ['-DMAGRPO_TESTS=ON', folder])
      if (!ok) throw new SetupError(stderr)
    }
    for (const target of targets) await build({ root, env, folder, target, log })
  })
  return folder
}
