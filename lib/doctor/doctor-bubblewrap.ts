/** The doctor's look at bubblewrap: is it there, does it work, and if not, what has to be allowed. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/** What the doctor says about the Python sandbox. */
export interface BubblewrapReport {
  found: boolean
  /** Path of `bwrap`, null if it is not on PATH. */
  path: string | null
  /** Its version, such as `0.8.0`. */
  version: string | null
  /** Whether it can make the namespaces the sandbox needs. */
  works: boolean
  /** What it said when it could not. */
  error: string | null
  /** What to install or allow; null if it works. */
  remedy: string | null
}

/** What decides whether namespaces may be made, as files of the system say it. */
interface NamespaceLimits {
  /** Ubuntu 24.04: `apparmor_restrict_unprivileged_userns` is 1. */
  appArmorRestricts: boolean
  /** Debian's switch `unprivileged_userns_clone` is 0. */
  cloneForbidden: boolean
  /** `user.max_user_namespaces` is 0. */
  noneAllowed: boolean
  /** This runs inside Docker, Podman or Kubernetes. */
  inContainer: boolean
}

// Every namespace the sandbox uses, and a /proc of its own, which some containers forbid.
const trial = [
  ...['user', 'pid', 'net', 'ipc', 'uts'].map((namespace) => `--unshare-${namespace}`),
  ...['--die-with-parent', '--new-session', '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', 'true'],
]

// The namespaces were made; what failed is the program to run in them.
const notRun = /\bexecvp\b|Can't find source path/
const noProgramRemedy =
  'bwrap could make its namespaces but could not run the program `true` in them, as it says above: check that `true` is on PATH ' +
  'and can be run (coreutils), and that no folder of PATH is a link to a place that is not there.'

/**
 * @param bwrap path of `bwrap`, null if there is none
 */
export async function diagnoseBubblewrap(bwrap: string | null): Promise<BubblewrapReport> {
  if (bwrap === null) {
    const remedy =
      process.platform === 'linux'
        ? 'Install bubblewrap (Debian, Ubuntu: `sudo apt-get install bubblewrap`), or run `npx magrpo setup`.'
        : 'bubblewrap exists for Linux only: train tasks whose rewards run Python in a Linux container.'
    return { found: false, path: null, version: null, works: false, error: 'bwrap is not on PATH', remedy }
  }
  const version = /bubblewrap (\S+)/.exec((await run(bwrap, ['--version'])).output)?.[1] ?? null
  const { ok, output } = await run(bwrap, trial)
  if (ok) return { found: true, path: bwrap, version, works: true, error: null, remedy: null }
  const error = output.trim() || 'it failed and said nothing'
  const remedy = notRun.test(error) ? noProgramRemedy : bubblewrapRemedy(readLimits())
  return { found: true, path: bwrap, version, works: false, error, remedy }
}

/** @returns what to allow on a system where bubblewrap could not make its namespaces */
export function bubblewrapRemedy(limits: NamespaceLimits): string {
  const remedies: string[] = []
  if (limits.appArmorRestricts) {
    remedies.push(
      'AppArmor forbids namespaces to ordinary users (Ubuntu 23.10 and newer): give bwrap a profile with `userns,` ' +
        '(Ubuntu has one in the package apparmor-profiles: bwrap-userns-restrict), or allow them to all: ' +
        '`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`.',
    )
  }
  if (limits.cloneForbidden) {
    remedies.push('The kernel forbids them to ordinary users: `sudo sysctl kernel.unprivileged_userns_clone=1`.')
  }
  if (limits.noneAllowed) {
    remedies.push('The kernel allows no user namespaces: `sudo sysctl user.max_user_namespaces=15000`.')
  }
  if (limits.inContainer) {
    remedies.push(
      'The container forbids namespaces: start it with `--security-opt seccomp=unconfined --security-opt ' +
        'apparmor=unconfined --security-opt systempaths=unconfined` (Docker, Podman), or with a seccomp profile that ' +
        'allows clone, unshare, mount and pivot_root; in Kubernetes `seccompProfile: {type: Unconfined}` and ' +
        '`procMount: Unmasked`.',
    )
  }
  if (remedies.length > 0) return remedies.join('\n')
  return 'Allow this user to make user namespaces; `unshare --user --pid --fork true` has to succeed.'
}

function readLimits(): NamespaceLimits {
  return {
    appArmorRestricts: setting('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1',
    cloneForbidden: setting('/proc/sys/kernel/unprivileged_userns_clone') === '0',
    noneAllowed: setting('/proc/sys/user/max_user_namespaces') === '0',
    inContainer:
      existsSync('/.dockerenv') || existsSync('/run/.containerenv') || 'KUBERNETES_SERVICE_HOST' in process.env,
  }
}

function setting(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return null
  }
}

function run(command: string, args: string[]): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: `${stdout}${stderr}` || (error?.message ?? '') })
    })
  })
}
