import { readFile } from 'node:fs/promises'
import { arch, availableParallelism, cpus, hostname, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { packageDir } from '../base/package-dir.ts'

/** What `environment.json` says before the native part is loaded. */
export interface Environment {
  magrpo: string
  node: string
  platform: string
  host: string
  cpu: string
  /** Processors this process may use. */
  cores: number
  memoryBytes: number
  /** Folder that the paths of the configuration are relative to. */
  cwd: string
  /** The command as it was typed, program names left out. */
  arguments: string[]
  /** ISO 8601. */
  startedAt: string
  /** Filled in once the native part is loaded. */
  native: Record<string, unknown> | null
  /** The processes that went on with the run, in order. */
  resumed?: Omit<Environment, 'resumed'>[]
}

/** Version of this package. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(join(packageDir, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Describes this process and machine, without loading the native part. */
export async function describeEnvironment(): Promise<Environment> {
  return {
    magrpo: await packageVersion(),
    node: process.version,
    platform: `${process.platform} ${arch()} ${release()}`,
    host: hostname(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    cwd: process.cwd(),
    arguments: process.argv.slice(2),
    startedAt: new Date().toISOString(),
    native: null,
  }
}

/** What decides about the last bits of a number. */
const decisive = ['cpu', 'magrpo'] as const
const decisiveNative = ['libtorchVersion', 'variant', 'cpuCapability', 'threads', 'rowProductRows'] as const

/** In what two environments differ so that equal work need not give equal bits; empty if in nothing. */
export function differences(then: Environment, now: Environment): string[] {
  const differing = (name: string, a: unknown, b: unknown) => (a === b ? [] : [`${name}: ${a}, now ${b}`])
  return [
    ...decisive.flatMap((name) => differing(name, then[name], now[name])),
    ...decisiveNative.flatMap((name) =>
      then.native === null || now.native === null ? [] : differing(name, then.native[name], now.native[name]),
    ),
  ]
}
