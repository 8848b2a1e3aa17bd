/** The machine a trial runs on, and how busy it is. */
import { readFileSync } from 'node:fs'
import os from 'node:os'

/** What is recorded of the machine. */
export interface Machine {
  cpu: string
  cores: number
  /** Vector instructions that matter here. */
  features: string[]
  memoryGiB: number
  os: string
  node: string
  threads: number
  /** Average load over one minute, before and after. */
  load: [number, number]
  /** Versions of what was measured. */
  versions: Record<string, string>
}

/** @param loadBefore the load when the suite began */
export function describeMachine(threads: number, loadBefore: number, versions: Record<string, string>): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    features: cpuFeatures(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    os: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    threads,
    load: [round(loadBefore), round(os.loadavg()[0]!)],
    versions,
  }
}

const round = (value: number) => Math.round(value * 100) / 100

function cpuFeatures(): string[] {
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(' ') ?? []
    return ['avx2', 'fma', 'avx512f', 'avx512_bf16', 'amx_bf16'].filter((name) => flags.includes(name))
  } catch {
    return []
  }
}

/** Seconds that all cores together have spent working since the start of the machine; null where that is not known. */
export function busySeconds(): number | null {
  try {
    const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!
    return parseBusy(line)
  } catch {
    return null
  }
}

/** Working seconds of the `cpu` line of /proc/stat: user, nice, system, interrupts and what other guests took. */
export function parseBusy(line: string): number {
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number)
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, soft = 0, steal = 0] = ticks
  return (user + nice + system + interrupt + soft + steal) / 100
}
