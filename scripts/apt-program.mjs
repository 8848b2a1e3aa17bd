/** Programs of Debian that `npm run test:full` starts: installed by apt-get where they are missing and this user may. */
import { lastLines, SetupError, which } from './setup/common.mjs'
import { aptInstall, rightsForApt } from './setup/system.mjs'

/**
 * @param {{ name: string, find: () => string | null, debian: string, remedy?: string }} program its `debian` package
 * @param {{ env?: Record<string, string | undefined>, log?: (line: string) => void }} options
 * @returns {Promise<string>} the program
 * @throws {SetupError} there is none, and it may not be or could not be installed from here
 */
export async function ensureProgram({ name, find, debian, remedy = '' }, { env = process.env, log = () => {} } = {}) {
  const found = find()
  if (found !== null) return found
  const advice = `Install it (Debian: apt-get install ${debian})${remedy}.`
  const prefix = which('apt-get', env) === null ? null : rightsForApt(env)
  if (prefix === null) throw new SetupError(`${name} is missing. ${advice}`)
  log(`installing ${name} by apt-get`)
  const { output } = await aptInstall(prefix, [debian], env)
  const installed = find()
  if (installed === null) throw new SetupError(`apt-get did not install ${name}: ${lastLines(output, 4)}\n${advice}`)
  return installed
}

/** Open MPI's mpirun, which starts ranks. */
export const ensureMpirun = (options = {}) =>
  ensureProgram(
    { name: 'mpirun', find: () => which('mpirun', options.env ?? process.env), debian: 'openmpi-bin' },
    options,
  )
