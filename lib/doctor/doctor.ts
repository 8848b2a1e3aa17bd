/** What every bug report asks for: the machine, and each thing magrpo stands on. Works where nothing is built. */
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { packageDir } from '../base/package-dir.ts'
import type { NativeInfo } from '../native/addon-types.ts'
import { cudaOfHost } from '../native/cuda-of-host.ts'
import { type FreeMemory, freeMemory } from '../native/free-memory.ts'
import { stampedLibtorch } from '../native/load-addon.ts'
import { type FoundLibtorch, loadSetupScripts, type SetupScripts } from '../native/setup-scripts.ts'
import { type AddonReport, type CpuReport, diagnoseAddon, diagnoseCpu } from './doctor-addon.ts'
import { type BubblewrapReport, diagnoseBubblewrap } from './doctor-bubblewrap.ts'

/** The answer of {@link diagnose}; `magrpo doctor --json` prints it. */
export interface DoctorReport {
  /** Version of magrpo. */
  version: string
  /** Version of Node. */
  node: string
  platform: {
    os: string
    arch: string
    /** Version of the kernel. */
    release: string
    /** Version of glibc, null where the C library is another one. */
    glibc: string | null
    supported: boolean
    /** How well this machine is supported, in words. */
    note: string
  }
  /** The one the addon was built with, else the one set-up would take. */
  libtorch: FoundLibtorch | null
  /** Why there is no libtorch; null if there is one. */
  libtorchError: string | null
  addon: AddonReport
  cpu: CpuReport
  cuda: NativeInfo['cuda']
  memory: {
    totalBytes: number
    /** What a run may take, as its memory plan sees it: what is free, or what the limit of a container leaves if that is less. */
    availableBytes: number
    /** What bounds it: the machine, a control group, or `MAGRPO_MEMORY_LIMIT`. */
    availableFrom: FreeMemory['from']
  }
  bubblewrap: BubblewrapReport
  python: { path: string; version: string; pip: boolean; torch: string | null } | null
}

/**
 * Looks at everything; changes and fetches nothing.
 *
 * @param options.root the package's folder; defaults to this package's
 * @param options.env where `PATH`, `MAGRPO_LIBTORCH` and `MAGRPO_CACHE` are read; defaults to `process.env`
 */
export async function diagnose(options: { root?: string; env?: NodeJS.ProcessEnv } = {}): Promise<DoctorReport> {
  const { root = packageDir, env = process.env } = options
  const scripts = await loadSetupScripts()
  const [addon, bubblewrap] = await Promise.all([diagnoseAddon(root), diagnoseBubblewrap(scripts.which('bwrap', env))])
  const { libtorch, libtorchError } = diagnoseLibtorch(scripts, root, env)
  return {
    version: (JSON.parse(readFileSync(path.join(packageDir, 'package.json'), 'utf8')) as { version: string }).version,
    node: process.versions.node,
    platform: diagnosePlatform(scripts),
    libtorch,
    libtorchError,
    addon,
    cpu: diagnoseCpu(addon.info),
    cuda: addon.info?.cuda ?? cudaOfHost(libtorch?.variant ?? 'cpu'),
    memory: diagnoseMemory(env),
    bubblewrap,
    python: scripts.probePython(env),
  }
}

function diagnoseMemory(env: NodeJS.ProcessEnv): DoctorReport['memory'] {
  const totalBytes = os.totalmem()
  try {
    const { bytes, from } = freeMemory({ env })
    return { totalBytes, availableBytes: bytes, availableFrom: from }
  } catch {
    // A MAGRPO_MEMORY_LIMIT that is no size: what runs say of it is clear enough.
    const { bytes, from } = freeMemory({ env: {} })
    return { totalBytes, availableBytes: bytes, availableFrom: from }
  }
}

function diagnosePlatform(scripts: SetupScripts): DoctorReport['platform'] {
  const host = scripts.thisHost()
  const facts = { os: host.platform, arch: host.arch, release: os.release(), glibc: host.glibc }
  try {
    return { ...facts, supported: true, note: scripts.checkPlatform(host) }
  } catch (error) {
    return { ...facts, supported: false, note: textOf(error) }
  }
}

function diagnoseLibtorch(
  scripts: SetupScripts,
  root: string,
  env: NodeJS.ProcessEnv,
): Pick<DoctorReport, 'libtorch' | 'libtorchError'> {
  const built = stampedLibtorch(root)
  if (built !== null && existsSync(built.dir)) return { libtorch: built, libtorchError: null }
  try {
    const { found, tried } = scripts.findLibtorch(env)
    const error = `none was found (${tried.join('; ')}). Run \`npx magrpo setup\`.`
    return { libtorch: found, libtorchError: found === null ? error : null }
  } catch (error) {
    return { libtorch: null, libtorchError: textOf(error) }
  }
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
