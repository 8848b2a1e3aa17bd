/** Why CUDA cannot be had, as far as that shows without loading the addon. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { NativeInfo } from './addon-types.ts'

// NVIDIA's oldest Linux driver for each major version of CUDA.
const oldestDriver: Record<string, string> = { '12': '525.60.13', '13': '580.65.06' }

/**
 * @param variant that of libtorch: `cpu`, or `cu` and the CUDA version without its dot
 * @param system root of the file system
 * @returns available only if nothing speaks against it; the addon's own answer is the better one
 */
export function cudaOfHost(variant: string, system = '/'): NativeInfo['cuda'] {
  const refuse = (reason: NonNullable<NativeInfo['cuda']['reason']>) => ({ available: false, reason })
  if (variant === 'cpu') return refuse('cpu_build')
  const driver = driverVersion(system)
  if (driver === null) return refuse('no_driver')
  const devices = readdirSync(path.join(system, 'dev')).some((name) => /^(nvidia\d+|dxg)$/.test(name))
  if (!devices) return refuse('no_device')
  const oldest = oldestDriver[variant.slice(2, 4)]
  if (oldest !== undefined && driver !== '' && driver.localeCompare(oldest, 'en', { numeric: true }) < 0) {
    return refuse('driver_too_old')
  }
  return { available: true, reason: null }
}

// '' where there is a driver that does not tell its version (Windows' own, inside WSL); null where there is none.
function driverVersion(system: string): string | null {
  const file = path.join(system, 'proc/driver/nvidia/version')
  if (existsSync(file))
    return /Kernel Module[^\d]*(?:for x86_64\s+)?(\d+\.\d+(?:\.\d+)?)/.exec(readFileSync(file, 'utf8'))?.[1] ?? ''
  return existsSync(path.join(system, 'usr/lib/wsl/lib/libcuda.so.1')) ? '' : null
}
