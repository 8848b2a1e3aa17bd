/**
 * Loads the native addon on first use. Nothing is loaded by importing this file, and nothing is ever fetched.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { NativeLoadError } from '../base/errors.ts'
import { packageDir } from '../base/package-dir.ts'
import { checkWorkingFolder } from '../base/working-folder.ts'
import type { NativeAddon } from './addon-types.ts'
import type { FoundLibtorch } from './setup-scripts.ts'

/** Folders below the package's one that the variant chosen by `MAGRPO_CUDA` is built in: CUDA where it is set, and not to `0`. */
function buildFolder(env: NodeJS.ProcessEnv): string[] {
  return env.MAGRPO_CUDA && env.MAGRPO_CUDA !== '0' ? ['build', 'cuda'] : ['build']
}

/**
 * @param root the package's folder; defaults to this package's
 * @param env its `MAGRPO_CUDA` chooses the CUDA build; defaults to `process.env`
 * @returns where set-up builds the addon to
 */
export function addonPath(root = packageDir, env = process.env): string {
  return path.join(root, ...buildFolder(env), 'Release', 'magrpo.node')
}

let loaded: NativeAddon | undefined

/**
 * The native addon; loaded by the first call, the same object afterwards.
 *
 * @throws {NativeLoadError} `ERR_ADDON_NOT_BUILT` where set-up has not been run, `ERR_ADDON_LOAD` where the addon is there
 * but the system cannot load it; the message says what to do
 */
export function loadAddon(): NativeAddon {
  loaded ??= loadAddonFrom(packageDir)
  return loaded
}

/** {@link loadAddon} for the package in `root`, without remembering it. */
export function loadAddonFrom(root: string): NativeAddon {
  const file = addonPath(root)
  if (!existsSync(file)) {
    throw new NativeLoadError('ERR_ADDON_NOT_BUILT', notBuiltMessage(root), { details: { file } })
  }
  checkWorkingFolder()
  const require = createRequire(import.meta.url)
  const bindings = require('bindings') as (options: object) => NativeAddon
  try {
    return withSleepingThreads(() =>
      bindings({
        bindings: 'magrpo.node',
        module_root: root,
        try: [['module_root', ...buildFolder(process.env), 'Release', 'bindings']],
      }),
    )
  } catch (cause) {
    throw loadError(root, cause)
  }
}

/**
 * OpenMP's threads spin while they wait unless told to sleep before its library is loaded; beside another program on the same
 * cores that makes small operations up to 60 times slower. GNU's library may spin for 1,000 turns, some microseconds: with 300 an
 * update of a small model takes up to a quarter longer where waking a thread is slow, and beside a busy program there is no
 * difference. Decoding has threads of its own (native/core/parallel.h). Whoever sets one of OpenMP's own variables decides for
 * themselves.
 */
function withSleepingThreads<T>(load: () => T): T {
  const { env } = process
  if (env.OMP_WAIT_POLICY !== undefined || env.GOMP_SPINCOUNT !== undefined) return load()
  env.OMP_WAIT_POLICY = 'PASSIVE'
  env.GOMP_SPINCOUNT = '1000'
  try {
    return load()
  } finally {
    delete env.OMP_WAIT_POLICY
    delete env.GOMP_SPINCOUNT
  }
}

function setupCommand(root: string): string {
  const isClone = existsSync(path.join(root, 'package-lock.json'))
  const variant = buildFolder(process.env).length > 1 ? 'MAGRPO_CUDA=1 ' : ''
  return `\`${variant}${isClone ? 'npm run setup' : 'npx magrpo setup'}\``
}

/** @returns the text for an addon that set-up has not built yet */
export function notBuiltMessage(root: string): string {
  return (
    `The native part of magrpo is not built: expected ${addonPath(root)}.\n` +
    'Run `npx magrpo setup` (in a clone: `npm run setup`). It finds or fetches libtorch and compiles the addon; ' +
    'nothing is fetched or compiled before you ask for it.' +
    (buildFolder(process.env).length > 1
      ? '\nMAGRPO_CUDA asks for the CUDA build: leave it set for the set-up too, or unset it.'
      : '')
  )
}

/**
 * Turns what the system's loader says into an error that names the remedy.
 *
 * @param root the package's folder
 * @param cause what loading the addon threw
 */
export function loadError(root: string, cause: unknown): NativeLoadError {
  const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
  const library = /(?:^|[\s:])([\w.+-]+\.(?:so|dylib)[\w.]*): cannot open shared object file/.exec(reason)?.[1] ?? null
  const message = [
    `The native part of magrpo could not be loaded: ${reason}`,
    `File: ${addonPath(root)}`,
    remedyFor(root, reason, library),
  ].join('\n')
  return new NativeLoadError('ERR_ADDON_LOAD', message, { cause, details: { file: addonPath(root), library } })
}

function remedyFor(root: string, reason: string, library: string | null): string {
  const setup = setupCommand(root)
  if (library !== null && /^lib(torch|c10|gomp|shm)/.test(library)) {
    const built = stampedLibtorch(root)
    const where = built === null ? '' : ` The addon was built with the one in ${built.dir}, which was moved or changed.`
    return `${library} is a part of libtorch.${where} Run ${setup}: it finds or fetches libtorch and builds the addon again.`
  }
  if (library !== null && /^lib(cuda|cudart|cublas|cudnn|nccl|nv)/.test(library)) {
    return `${library} belongs to CUDA: install the NVIDIA driver and CUDA libraries, or build for the CPU with ${setup}.`
  }
  if (library !== null) {
    return `Install the package that provides ${library} (Debian, Ubuntu: \`apt-file search ${library}\` names it).`
  }
  if (/GLIBC(XX)?_[\d.]+/.test(reason)) {
    return `The addon was built on a newer system than this one. Delete the build folder and run ${setup} here.`
  }
  if (/undefined symbol|invalid ELF|wrong ELF|file too short|mach-o|incompatible architecture/i.test(reason)) {
    return `The addon does not fit this libtorch or this machine. Delete the build folder and run ${setup}.`
  }
  return `Run ${setup} to build it again; \`npx magrpo doctor\` shows what is there.`
}

/** @returns the libtorch that the last set-up of `root` built with, null if that is not known */
export function stampedLibtorch(root = packageDir, env = process.env): FoundLibtorch | null {
  try {
    const stamp = JSON.parse(readFileSync(path.join(root, ...buildFolder(env), 'setup.json'), 'utf8')) as {
      libtorch?: FoundLibtorch
    }
    return stamp.libtorch ?? null
  } catch {
    return null
  }
}
