/** Builds the C++ tests: in the folder of the addon, or with sanitizers (`MAGRPO_SANITIZE`) in a folder of their own. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { getLibtorch } from '../libtorch.mjs'
import { build, configureSanitized, sanitizersOf, testFolder } from '../setup/addon.mjs'
import { capture, SetupError } from '../setup/common.mjs'
import { withLock } from '../setup/lock.mjs'

/** @typedef {{ root: string, env?: Record<string, string | undefined>, log: (line: string) => void }} Options */

/**
 * Builds all tests, or for the thread sanitizer those of what runs threads of its own.
 *
 * @param {Options} options
 * @returns {Promise<string>} path of the program
 * @throws {SetupError} with the compiler's messages
 */
export async function buildNativeTests({ root, env = process.env, log }) {
  const target = sanitizersOf(env).includes('thread') ? 'magrpo_thread_test' : 'magrpo_test'
  return path.join(await buildWithTests({ root, env, log, target }), target)
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
  return path.join(await buildWithTests({ root, env, log, target: 'magrpo' }), 'Release/magrpo.node')
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
async function buildWithTests({ root, env, log, target }) {
  const folder = testFolder(root, env)
  // One ninja at a time in a build folder.
  await withLock({ root, log }, async () => {
    if (sanitizersOf(env).length > 0)
      await configureSanitized({ root, libtorch: await getLibtorch({ root, env, log }), env })
    const cache = path.join(folder, 'CMakeCache.txt')
    if (!/^MAGRPO_TESTS:BOOL=ON$/m.test(existsSync(cache) ? readFileSync(cache, 'utf8') : '')) {
      const { ok, stderr } = capture('cmake', ['-DMAGRPO_TESTS=ON', folder])
      if (!ok) throw new SetupError(stderr)
    }
    await build({ root, env, folder, target, log })
  })
  return folder
}
