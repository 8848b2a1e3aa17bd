/** How a sandbox worker is started: which Python, which bubblewrap arguments, and what to say if neither can be had. */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { SandboxError } from '../base/errors.ts'

const run = promisify(execFile)

/** The user and group "nobody", as which programs run. */
export const nobody = 65534

/** A Python interpreter and the folders it needs. */
interface PythonInstallation {
  executable: string
  /** Folders outside `/usr` that have to be visible for it to run. */
  folders: string[]
}

/** A command line for `spawn`. */
export interface WorkerCommand {
  file: string
  args: string[]
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

async function onPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter))
    if (folder !== '' && (await isExecutable(join(folder, name)))) return join(folder, name)
  return undefined
}

/** An error that says that the sandbox cannot be had here, why, and what to do. */
export function unavailable(reason: string, remedy: string, details: Record<string, unknown> = {}): SandboxError {
  return new SandboxError('ERR_SANDBOX_UNAVAILABLE', `The Python sandbox cannot start: ${reason}\n${remedy}`, {
    details,
  })
}

/** Where bubblewrap is. Throws `ERR_SANDBOX_UNAVAILABLE` with the command that installs it. */
export async function findBubblewrap(): Promise<string> {
  const found = await onPath('bwrap')
  if (found !== undefined) return found
  throw unavailable(
    'bubblewrap (the command `bwrap`) is not on PATH.',
    'Install it: `sudo apt-get install bubblewrap` (Debian, Ubuntu), `sudo dnf install bubblewrap` (Fedora).',
    { reason: 'no_bubblewrap' },
  )
}

/** Finds the Python to run; see {@link SandboxOptions.python}. Throws `ERR_SANDBOX_UNAVAILABLE` if there is none. */
export async function findPython(wanted?: string): Promise<PythonInstallation> {
  const candidate = wanted ?? ((await isExecutable('/usr/bin/python3')) ? '/usr/bin/python3' : await onPath('python3'))
  if (candidate === undefined)
    throw unavailable(
      'there is no `python3` on PATH.',
      'Install it: `sudo apt-get install python3` (Debian, Ubuntu).',
      {
        reason: 'no_python',
      },
    )
  const question =
    'import sys, os, json; print(json.dumps([list(sys.version_info[:2]), os.path.realpath(sys.executable), sys.base_prefix]))'
  let answer: [[number, number], string, string]
  try {
    answer = JSON.parse((await run(candidate, ['-I', '-c', question], { cwd: '/', timeout: 30_000 })).stdout)
  } catch (error) {
    throw unavailable(
      `${candidate} did not run: ${(error as Error).message.split('\n')[0]}`,
      'Give the path of a working Python 3.9 or newer as `python`.',
      { reason: 'no_python' },
    )
  }
  const [version, executable, prefix] = answer
  if (version[0] !== 3 || version[1] < 9)
    throw unavailable(
      `${candidate} is Python ${version.join('.')}; 3.9 or newer is needed.`,
      'Give the path of a newer one as `python`.',
      { reason: 'no_python' },
    )
  return { executable, folders: prefix === '/usr' || prefix.startsWith('/usr/') ? [] : [prefix] }
}

const pythonFlags = ['-s', '-S', '-B', '-X', 'utf8', '-c']

/**
 * The command that starts a worker under bubblewrap: all namespaces new, a read-only system of `/usr` and the libraries, no
 * environment but a fixed hash seed (so that verdicts repeat), nothing of the configuration, of home folders or of `/var`.
 */
export async function bubblewrapCommand(
  bwrap: string,
  python: PythonInstallation,
  boot: string,
): Promise<WorkerCommand> {
  const args = ['--unshare-all', '--unshare-user', '--uid', `${nobody}`, '--gid', `${nobody}`, '--hostname', 'sandbox']
  args.push('--die-with-parent', '--new-session', '--clearenv', '--setenv', 'PYTHONHASHSEED', '0')
  args.push('--ro-bind', '/usr', '/usr')
  for (const folder of ['/lib', '/lib64', '/lib32', '/bin']) args.push('--ro-bind-try', folder, folder)
  for (const folder of python.folders) args.push('--ro-bind', folder, folder)
  args.push('--dir', '/tmp', '--dir', '/dev', '--dev-bind', '/dev/null', '/dev/null', '--proc', '/proc')
  args.push('--remount-ro', '/', '--chdir', '/', python.executable, ...pythonFlags, boot)
  return { file: bwrap, args }
}

/** The command that starts a worker with resource limits only. */
export function processCommand(python: PythonInstallation, boot: string): WorkerCommand {
  return { file: python.executable, args: [...pythonFlags, boot] }
}

async function sysctl(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  )
}

/** Turns what a worker said when it could not start into an error that names the setting in the way. */
export async function explainFailure(said: string): Promise<SandboxError> {
  const details = { reason: 'namespaces_forbidden', said }
  const first = said.trim().split('\n').at(-1) || 'the worker ended without a word'
  if ((await sysctl('/proc/sys/kernel/unprivileged_userns_clone')) === '0')
    return unavailable(
      `unprivileged user namespaces are switched off (${first}).`,
      'Allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`.',
      details,
    )
  if ((await sysctl('/proc/sys/user/max_user_namespaces')) === '0')
    return unavailable(
      `the number of user namespaces is limited to none (${first}).`,
      'Allow some: `sudo sysctl -w user.max_user_namespaces=10000`.',
      details,
    )
  if ((await sysctl('/proc/sys/kernel/apparmor_restrict_unprivileged_userns')) === '1')
    return unavailable(
      `AppArmor restricts unprivileged user namespaces, the default since Ubuntu 24.04 (${first}).`,
      'Allow them for all programs with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or for bubblewrap ' +
        'alone with an AppArmor profile for /usr/bin/bwrap that has `flags=(unconfined)` and the rule `userns,`.',
      details,
    )
  return unavailable(
    `namespaces are forbidden here, as in many containers (${first}).`,
    'Run the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt ' +
      'systempaths=unconfined` (or `--privileged`), or give `mode: "process"` if the programs are trusted: that has ' +
      'resource limits only and is no security boundary.',
    details,
  )
}
