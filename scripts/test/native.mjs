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

/**
 * @param {{ root: string, env?: Record<string, string | undefined>, log: (line: string) => void }} options
 * @returns {Promise<string[]>} paths of the programs
 * @throws {SetupError} with the compiler's messages
 */
export async function buildNativeTests({ root, env = process.env, log }) {
  const folder = testFolder(root, env)
  const isSanitized = sanitizersOf(env).length > 0
  // libtorch is not instrumented, and the software device's memory is none that sanitizers know.
  const hasSoftwareDevice = process.platform === 'linux' && !wantsCuda(env) && !isSanitized
  // One ninja at a time in a build folder.
  await withLock({ root, log }, async () => {
    if (isSanitized) await configureSanitized({ root, libtorch: await getLibtorch({ root, env, log }), env })
    const cache = path.join(folder, 'CMakeCache.txt')
    if (!/^MAGRPO_TESTS:BOOL=ON$/m.test(existsSync(cache) ? readFileSync(cache, 'utf8') : '')) {
      const { ok, stderr } = capture('cmake', ['-DMAGRPO_TESTS=ON', folder])
      if (!ok) throw new SetupError(stderr)
    }
    await build({ root, env, folder, target: 'magrpo_test', log })
    if (hasSoftwareDevice) await build({ root, env, folder, target: 'magrpo_device_test', log })
  })
  return [
    path.join(folder, 'magrpo_test'),
    ...(hasSoftwareDevice ? [path.join(folder, 'Release', 'magrpo_device_test')] : []),
  ]
}
