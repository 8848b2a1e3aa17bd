/** Step 2: the programs a build and a run need, installed by apt where that is allowed. */
import { findLibtorch } from '../libtorch.mjs'
import { capture, lastLines, runLong, SetupError, which } from './common.mjs'
import { probePython } from './python.mjs'

/** Oldest CMake that reads CMakeLists.txt. */
const oldestCmake = '3.19'

/** Package names by the program that installs them. */
const packages = {
  compiler: { apt: 'g++', dnf: 'gcc-c++', pacman: 'gcc', zypper: 'gcc-c++' },
  make: { apt: 'make', dnf: 'make', pacman: 'make', zypper: 'make' },
  cmake: { apt: 'cmake', dnf: 'cmake', pacman: 'cmake', zypper: 'cmake', brew: 'cmake' },
  python3: { apt: 'python3', dnf: 'python3', pacman: 'python', zypper: 'python3', brew: 'python' },
  pip: { apt: 'python3-pip', dnf: 'python3-pip', pacman: 'python-pip', zypper: 'python3-pip', brew: 'python' },
  bubblewrap: { apt: 'bubblewrap', dnf: 'bubblewrap', pacman: 'bubblewrap', zypper: 'bubblewrap' },
}

/** What each is for, as the messages say it. */
const purpose = {
  compiler: 'a C++ compiler (g++), to build the addon',
  make: 'make or ninja, to build the addon',
  cmake: `cmake ${oldestCmake} or newer, to build the addon`,
  python3: 'python3, to get libtorch and to run model-written code',
  pip: "python3's pip, to get libtorch",
  bubblewrap: 'bubblewrap (bwrap), the sandbox for model-written code',
}

const commands = {
  apt: 'apt-get install -y --no-install-recommends',
  dnf: 'dnf install -y',
  pacman: 'pacman -S --needed',
  zypper: 'zypper install -y',
  brew: 'brew install',
}

/**
 * @returns {(keyof typeof purpose)[]} what is missing
 * @throws {SetupError} a CMake that is too old, which no package of this system would change
 */
export function missingPrograms(env = process.env, platform = process.platform) {
  const missing = []
  if (!(env.CXX ? which(env.CXX.split(' ')[0], env) : ['c++', 'g++', 'clang++'].some((name) => which(name, env)))) {
    missing.push('compiler')
  }
  if (!which('ninja', env) && !which('make', env)) missing.push('make')
  const cmake = which('cmake', env)
  if (cmake === null) missing.push('cmake')
  else checkCmake(cmake, env)
  const python = probePython(env)
  if (python === null) missing.push('python3')
  if (!python?.pip && needsPip(env)) missing.push('pip')
  if (platform === 'linux' && !which('bwrap', env)) missing.push('bubblewrap')
  return missing
}

function checkCmake(cmake, env) {
  const version = /cmake version ([\d.]+)/.exec(capture(cmake, ['--version'], { env }).stdout)?.[1]
  if (version === undefined || version.localeCompare(oldestCmake, 'en', { numeric: true }) >= 0) return
  throw new SetupError(
    `magrpo needs cmake ${oldestCmake} or newer but ${cmake} is ${version}. A newer one: python3 -m pip install --user cmake`,
  )
}

// Where a libtorch is there already, nothing has to be downloaded. What is wrong with it is the libtorch step's to say.
function needsPip(env) {
  try {
    return findLibtorch(env).found === null
  } catch {
    return false
  }
}

/**
 * Installs what is missing, or says what to type.
 *
 * @param {{ env?: Record<string, string | undefined>, log: (line: string) => void }} options
 * @returns {Promise<string | null>} what was installed; null if all was there
 * @throws {SetupError} something is missing and may not be, or could not be, installed from here
 */
export async function ensurePrograms({ env = process.env, log }) {
  const missing = missingPrograms(env)
  if (missing.length === 0) return null
  const manager = Object.keys(commands).find((name) => which(name === 'apt' ? 'apt-get' : name, env)) ?? null
  const names = [...new Set(missing.map((what) => packages[what][manager ?? 'apt']).filter(Boolean))]
  const prefix = manager === 'apt' ? rightsForApt(env) : null
  if (prefix === null) throw new SetupError(missingText(missing, manager, names))

  log(`installing ${names.join(', ')} by apt-get${prefix.length > 0 ? ' with sudo' : ''}: ${whatFor(missing)}`)
  const { ok, output } = await aptInstall(prefix, names, env)
  const left = ok ? missingPrograms(env) : missing
  if (left.length > 0) {
    throw new SetupError(`${missingText(left, manager, names)}\napt-get was tried and said:\n${lastLines(output, 8)}`)
  }
  return `installed ${names.join(', ')}`
}

/** Installs packages of Debian or Ubuntu; `prefix` is what {@link rightsForApt} gives. */
export async function aptInstall(prefix, names, env) {
  const apt = (...args) => {
    const [command, ...rest] = [...prefix, 'apt-get', ...args]
    return runLong(command, rest, { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' } })
  }
  // The list of packages may be empty, as in a container image; if it can't be refreshed, the install says what is wrong.
  await apt('update', '-qq')
  return apt('install', '-y', '--no-install-recommends', ...names)
}

/** @returns {string[] | null} what to put before apt-get; null if this user may not install */
export function rightsForApt(env) {
  if (process.getuid?.() === 0) return []
  if (which('sudo', env) && capture('sudo', ['-n', 'true'], { env }).ok) return ['sudo', '-n']
  return null
}

const whatFor = (missing) => missing.map((what) => purpose[what]).join('; ')

/** @returns {string} what is missing, what for, and the command that installs it */
export function missingText(missing, manager, names) {
  const sudo = manager === 'brew' || process.getuid?.() === 0 ? '' : 'sudo '
  const lines = ['Missing on this system:', ...missing.map((what) => `  - ${purpose[what]}`)]
  const compilerOnMac = manager === 'brew' && missing.includes('compiler')
  if (compilerOnMac) lines.push('Install the compiler with: xcode-select --install')
  if (names.length > 0) {
    const where = manager === null ? ' (on Debian or Ubuntu; elsewhere packages of similar names)' : ''
    lines.push(`Install it with${where}:`, `  ${sudo}${commands[manager ?? 'apt']} ${names.join(' ')}`)
  }
  return [...lines, 'Then run the same command again.'].join('\n')
}
