/**
 * The browser that `npm run test:full` opens the live page and the report in: Debian's chromium, installed by apt-get where it is missing
 * and this user may.
 */
import { existsSync } from 'node:fs'
import { ensureProgram } from './apt-program.mjs'
import { SetupError, which } from './setup/common.mjs'

/** @returns {string | null} `MAGRPO_CHROMIUM`, or the chromium of this machine */
export function findChromium(env = process.env) {
  if (env.MAGRPO_CHROMIUM) return existsSync(env.MAGRPO_CHROMIUM) ? env.MAGRPO_CHROMIUM : null
  return ['chromium', 'chromium-browser', 'google-chrome'].map((name) => which(name, env)).find(Boolean) ?? null
}

/**
 * @param {{ env?: Record<string, string | undefined>, log?: (line: string) => void }} options
 * @returns {Promise<string>} the program
 * @throws {SetupError} there is none, and it may not be or could not be installed from here
 */
export async function ensureChromium({ env = process.env, log = () => {} } = {}) {
  const find = () => findChromium(env)
  if (env.MAGRPO_CHROMIUM && find() === null)
    throw new SetupError(`MAGRPO_CHROMIUM names ${env.MAGRPO_CHROMIUM}, which is not there.`)
  const remedy = ', or name a program in MAGRPO_CHROMIUM'
  return ensureProgram({ name: 'chromium', find, debian: 'chromium', remedy }, { env, log })
}
