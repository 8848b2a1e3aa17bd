/** The check of a device: every stage in a process of its own, and what may be turned on. */
import { fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MagrpoError } from '../base/errors.ts'
import { onAbort } from '../base/on-abort.ts'
import { softwareVariant } from '../native/addon-types.ts'
import { toMagrpoError } from '../native/call.ts'
import { loadAddon } from '../native/load-addon.ts'
import type {
  CheckReport,
  CheckRow,
  SettingReport,
  StageMessage,
  StageName,
  StageReport,
  StageRequest,
} from './types.ts'
import { stageNames } from './types.ts'

/** Options of {@link checkDevice}. */
export interface CheckOptions {
  /** Fewer sizes and models. Defaults to `false`. */
  quick?: boolean
  /** Which parts. Defaults to all. */
  stages?: readonly StageName[]
  signal?: AbortSignal
  /** Called when a stage begins. */
  onStage?(name: StageName): void
}

/** What each setting's stages turn on. */
const switches: Partial<Record<StageName, readonly SettingReport['name'][]>> = {
  graphs: ['MAGRPO_CUDA_GRAPHS'],
  streams: ['MAGRPO_CUDA_STREAMS'],
  pinned: ['MAGRPO_CUDA_PINNED'],
  'all settings': ['MAGRPO_CUDA_GRAPHS', 'MAGRPO_CUDA_STREAMS', 'MAGRPO_CUDA_PINNED'],
}
const settings = switches['all settings']!

/** A stage that takes longer has failed. */
const limitMs = { gpu: 90_000, software: 15 * 60_000 }

/**
 * Compares a device with the CPU: every kernel, small models of every architecture, samples, the settings that are off by default,
 * a second device if there is one, and the memory plan. Nothing is fetched.
 *
 * @param device `cuda:N`
 * @throws MagrpoError `ERR_ARGUMENT` for another device; DeviceError if there is none; NativeLoadError; the signal's reason
 */
export async function checkDevice(device: string, options: CheckOptions = {}): Promise<CheckReport> {
  const { quick = false, stages = stageNames, signal, onStage } = options
  const problem = deviceProblem(device)
  if (problem !== null) throw new MagrpoError('ERR_ARGUMENT', problem)
  signal?.throwIfAborted()
  const begin = performance.now()
  const { variant, libtorchVersion } = loadAddon().info()
  const name = nameOf(device)
  const isGpu = variant !== softwareVariant
  const folder = await mkdtemp(join(tmpdir(), 'magrpo-check-'))
  const reports: StageReport[] = []
  try {
    for (const stage of stages) {
      onStage?.(stage)
      reports.push(await runStage({ stage, device, quick, folder }, isGpu ? limitMs.gpu : limitMs.software, signal))
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return {
    device,
    name,
    isGpu,
    libtorch: { version: libtorchVersion, variant },
    quick,
    stages: reports,
    settings: settings.map((setting) => ({ name: setting, safe: isSafe(setting, reports) })),
    passed: reports.every(({ passed }) => passed),
    seconds: secondsSince(begin),
  }
}

/** Why `device` is none that can be checked; null if it may be one. */
export function deviceProblem(device: string): string | null {
  if (/^cuda:\d+$/.test(device)) return null
  const why = device === 'cpu' ? ': the CPU is what devices are compared with' : ''
  return `Expected a device such as cuda:0 but received ${JSON.stringify(device)}${why}.`
}

/** A setting is safe if every stage that has it on ran and passed, and so did what it builds on. */
function isSafe(setting: SettingReport['name'], reports: readonly StageReport[]): boolean {
  const needed = stageNames.filter(
    (name) => name === 'kernels' || name === 'models' || switches[name]?.includes(setting),
  )
  return needed.every((name) =>
    reports.some((report) => report.name === name && report.skipped === null && report.passed),
  )
}

function nameOf(device: string): string {
  try {
    return loadAddon().deviceName(device)
  } catch (error) {
    throw toMagrpoError(error)
  }
}

const secondsSince = (begin: number) => Math.round((performance.now() - begin) / 100) / 10

async function runStage(request: StageRequest, limit: number, signal?: AbortSignal): Promise<StageReport> {
  const begin = performance.now()
  const rows: CheckRow[] = []
  let skipped: string | null = null
  const failure = await runChild(request, limit, signal, (message) => {
    if ('row' in message) rows.push(message.row)
    else if ('skipped' in message) skipped = message.skipped
  })
  signal?.throwIfAborted()
  if (failure !== null)
    rows.push({
      what: request.stage,
      how: '',
      dtype: 'float32',
      cases: 0,
      difference: null,
      bound: null,
      passed: false,
      failure,
    })
  const passed = rows.every((row) => row.passed) && (rows.length > 0 || skipped !== null)
  return { name: request.stage, rows, skipped, passed, seconds: secondsSince(begin) }
}

/** @returns why the stage did not come to its end; null if it did */
function runChild(
  request: StageRequest,
  limit: number,
  signal: AbortSignal | undefined,
  onMessage: (message: StageMessage) => void,
): Promise<string | null> {
  const program = fileURLToPath(new URL(`./check-child${extname(import.meta.url)}`, import.meta.url))
  const env = { ...process.env }
  for (const setting of settings) env[setting] = switches[request.stage]?.includes(setting) ? '1' : '0'
  // Launchers of ranks mean this process, not its parts.
  for (const name of ['RANK', 'WORLD_SIZE', 'OMPI_COMM_WORLD_SIZE', 'SLURM_STEP_NUM_TASKS']) delete env[name]
  const execArgv = process.execArgv.filter((option) => !option.startsWith('--inspect'))
  const child = fork(program, { env, execArgv, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  return new Promise((resolve) => {
    let said = ''
    let error: string | null = null
    let isLate = false
    const kill = () => child.kill('SIGKILL')
    const timer = setTimeout(() => {
      isLate = true
      kill()
    }, limit)
    const forget = onAbort(signal, kill)
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2_000)
    })
    child.on('message', (message: StageMessage) => {
      if ('error' in message) error = message.error
      else onMessage(message)
    })
    child.on('error', (cause) => {
      error ??= cause.message
    })
    child.once('close', (code, killedBy) => {
      clearTimeout(timer)
      forget()
      if (isLate) return resolve(`expected an end within ${limit / 1000} s`)
      if (error !== null) return resolve(error)
      if (code === 0) return resolve(null)
      const words = said.trim().split('\n').slice(-3).join(' | ')
      resolve(
        `its process ${killedBy === null ? `ended with exit code ${code}` : `was ended by ${killedBy}`}${words === '' ? '' : `: ${words}`}`,
      )
    })
    child.send(request, (cause) => {
      if (cause) error ??= cause.message
    })
  })
}
