/** magrpo_bench, the C++ part of the benchmark: built in the folder of the addon when it is first needed. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { build } from '../scripts/setup/addon.mjs'
import { capture, packageRoot as root, SetupError } from '../scripts/setup/common.mjs'
import { withLock } from '../scripts/setup/lock.mjs'

/**
 * @param {{ log?: (line: string) => void }} options
 * @returns {Promise<string>} path of the program, up to date
 * @throws {SetupError} with the compiler's own words
 */
export async function ensureBenchProgram({ log = () => {} } = {}) {
  await withLock({ root, log }, async () => {
    const cache = path.join(root, 'build/CMakeCache.txt')
    if (!existsSync(cache)) throw new SetupError('The addon has not been built: run npm run setup first.')
    if (!/^MAGRPO_BENCH:BOOL=ON$/m.test(readFileSync(cache, 'utf8'))) {
      const { ok, stderr } = capture('cmake', ['-DMAGRPO_BENCH=ON', path.join(root, 'build')])
      if (!ok) throw new SetupError(stderr)
    }
    await build({ root, env: process.env, target: 'magrpo_bench', log })
  })
  return path.join(root, 'build/magrpo_bench')
}
