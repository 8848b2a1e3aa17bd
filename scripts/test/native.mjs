/** Builds the C++ test program: in the folder of the addon, or with sanitizers (`MAGRPO_SANITIZE`) in a folder of its own. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { getLibtorch } from '../libtorch.mjs'
import { build, configureSanitized, sanitizersOf, testFolder } from '../setup/addon.mjs'
import { capture, SetupError } from '../setup/common.mjs'
import { withLock } from '../setup/lock.mjs'

/**
 * @param {{ root: string, env?: Record<string, string | undefined>, log: (line: string) => void }} options
 * @returns {Promise<string>} path of the program
 * @throws {SetupError} with the compiler's messages
 */
export async function buildNativeTests({ root, env = process.env, log }) {
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
    await build({ root, env, folder, target: 'magrpo_test', log })
  })
  return path.join(folder, 'magrpo_test')
}
