/** Step 3 (in a clone): the node modules named by package-lock.json, and `npx magrpo`. */
import { existsSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { lastLines, readJson, runLong, SetupError, which } from './common.mjs'

/** @returns {boolean} whether `root` is a clone to be developed in, rather than a package inside `node_modules` */
export function isClone(root) {
  return existsSync(path.join(root, 'package-lock.json')) && existsSync(path.join(root, 'tsconfig.build.json'))
}

/**
 * @returns {string[]} packages of package-lock.json that are not installed in the version it names. Contents are compared,
 * not dates, since a checkout changes the dates
 */
export function staleModules(root) {
  const wanted = readJson(path.join(root, 'package-lock.json'))?.packages ?? {}
  const installed = readJson(path.join(root, 'node_modules/.package-lock.json'))?.packages ?? {}
  return Object.entries(wanted)
    .filter(([name, { version, optional, devOptional, link }]) => {
      if (name === '' || link) return false
      const found = installed[name]?.version
      // Optional ones are for other platforms.
      return found !== version && !(found === undefined && (optional || devOptional))
    })
    .map(([name]) => name)
}

/**
 * Installs what is missing and lets `npx magrpo` find this clone's own command.
 *
 * @returns {Promise<string | null>} what was done; null if nothing had to be
 * @throws {SetupError} npm failed
 */
export async function ensureNodeModules({ root, env = process.env, log }) {
  const stale = staleModules(root)
  if (stale.length > 0) {
    const isFresh = !existsSync(path.join(root, 'node_modules/.package-lock.json'))
    if (!which('npm', env))
      throw new SetupError('npm is missing: it comes with Node; on Debian: sudo apt-get install npm')
    log(isFresh ? 'installing node modules by npm ci' : `updating ${stale.length} node modules by npm install`)
    const { ok, output } = await runLong('npm', [isFresh ? 'ci' : 'install', '--no-audit', '--no-fund'], {
      cwd: root,
      env,
    })
    if (!ok) {
      throw new SetupError(
        `npm could not install the node modules:\n${npmErrors(output)}\n` +
          'Check the network and the registry (npm config get registry), then run the same command again.',
      )
    }
  }
  linkCommand(root)
  return stale.length > 0 ? `${stale.length} packages installed` : null
}

// npm ends its errors with its whole usage; what went wrong stands first.
function npmErrors(output) {
  const errors = output.split('\n').filter((line) => /^npm (error|ERR!) ./.test(line))
  return errors.length > 0 ? errors.slice(0, 10).join('\n') : lastLines(output, 10)
}

// npm links the commands of dependencies only; without this, npx would look for magrpo in the registry.
function linkCommand(root) {
  const link = path.join(root, 'node_modules/.bin/magrpo')
  const target = '../../bin/magrpo.mjs'
  try {
    if (readlinkSync(link) === target) return
  } catch {
    // There is none yet.
  }
  mkdirSync(path.dirname(link), { recursive: true })
  rmSync(link, { force: true })
  symlinkSync(target, link)
}
