/**
 * The browser that `npm run test:full` opens the live page and the report in: Debian's chromium, installed by apt-get where it is missing
 * and this user may.
 */
import { existsSync } from 'node:fs'
import { lastLines, SetupError, which } from './setup/common.mjs'
import { aptInstall, rightsForApt } from './setup/system.mjs'

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
  const found = findChromium(env)
  if (found !== null) return found
  const remedy = 'Install it (Debian: apt-get install chromium), or name a program in MAGRPO_CHROMIUM.'
  const prefix = env.MAGRPO_CHROMIUM || which('apt-get', env) === null ? null : rightsForApt(env)
  if (prefix === null) throw new SetupError(`chromium is missing. ${remedy}`)
  log('installing chromium by apt-get')
  const { output } = await aptInstall(prefix, ['chromium'], env)
  const installed = findChromium(env)
  if (installed === null) throw new SetupError(`apt-get did not install chromium: ${lastLines(output, 4)}\n${remedy}`)
  return installed
}
