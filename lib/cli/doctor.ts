/** `magrpo doctor`: what this machine has of what magrpo needs, and whether a device computes what the CPU computes. */
import type { Command } from 'commander'
import { formatBytes } from '../base/format.ts'
import { checkDevice, deviceProblem } from '../check/check-device.ts'
import { type DoctorReport, diagnose } from '../doctor/doctor.ts'
import { softwareVariant } from '../native/addon-types.ts'
import { limitOf } from '../native/free-memory.ts'
import { checkText } from './check-text.ts'
import { interruptible } from './interrupts.ts'
import { exitCodes, note, UsageError } from './output.ts'

/**
 * Adds `magrpo doctor` to the program; it prints to stdout. Without `--check` it ends well whatever it finds, with it only if all checks
 * passed.
 */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('show node, libtorch, the addon, CPU, CUDA or the reason why not, the sandbox and Python')
    .option(
      '--check <device>',
      'compare a device such as cuda:0 with the CPU: kernels, small models, settings; exit code 1 if one differs',
    )
    .option('--quick', 'with --check: fewer sizes and models, in less than a minute')
    .option('--json', 'print one JSON object')
    .action(async (options: DoctorOptions) => {
      if (options.check !== undefined) return check(options.check, options)
      if (options.quick) throw new UsageError('--quick needs --check: magrpo doctor --check cuda:0 --quick')
      const report = await diagnose()
      process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : doctorText(report))
    })
}

interface DoctorOptions {
  check?: string
  quick?: boolean
  json?: boolean
}

async function check(device: string, { quick, json }: DoctorOptions): Promise<void> {
  const problem = deviceProblem(device)
  if (problem !== null) throw new UsageError(problem)
  const onStage = (stage: string) => note(`checking ${stage} ...`)
  const report = await interruptible((signal) => checkDevice(device, { quick, signal, ...(json ? {} : { onStage }) }))
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : checkText(report))
  if (!report.passed) process.exitCode = exitCodes.error
}

const cudaReasons = {
  cpu_build: 'this is a CPU build',
  no_driver: 'no NVIDIA driver is installed',
  no_device: 'the NVIDIA driver finds no device',
  driver_too_old: 'the NVIDIA driver is too old for this CUDA version',
}

/** @returns the report for people: one line a subject, `!` before what needs a hand */
export function doctorText(report: DoctorReport): string {
  const { platform, libtorch, addon, cpu, cuda, memory, bubblewrap, python } = report
  const rows: [ok: boolean, name: string, value: string][] = [
    [true, 'magrpo', report.version],
    [true, 'node', report.node],
    [platform.supported, 'platform', `${platform.note} (kernel ${platform.release})`],
    [
      libtorch !== null,
      'libtorch',
      libtorch === null
        ? (report.libtorchError ?? 'none')
        : `${libtorch.version} ${libtorch.variant}, in ${libtorch.dir} (found by: ${libtorch.rule})`,
    ],
    [addon.loads, 'addon', addon.error ?? addon.file],
    [true, 'cpu', `${cpu.model}, ${cpu.cores} cores${cpu.threads === null ? '' : `, ${cpu.threads} threads`}`],
    [
      true,
      '',
      [cpu.capability && `libtorch uses ${cpu.capability}`, cpu.features.join(' ')].filter(Boolean).join('; '),
    ],
    [
      true,
      'cuda',
      addon.info?.variant === softwareVariant
        ? 'software device, not a GPU (MAGRPO_DEVICE=software)'
        : cuda.reason === null
          ? cuda.available
            ? 'available'
            : 'unknown'
          : `no: ${cudaReasons[cuda.reason]}`,
    ],
    [
      true,
      'memory',
      `${formatBytes(memory.availableBytes)} of ${formatBytes(memory.totalBytes)} available${limitOf(memory.availableFrom)}`,
    ],
    [bubblewrap.works, 'bubblewrap', bubblewrapText(bubblewrap)],
    [python !== null, 'python', python === null ? 'python3 is not on PATH' : pythonText(python)],
  ]
  return rows.map(([ok, name, value]) => `${ok ? ' ' : '!'} ${name.padEnd(12)}${indent(value)}\n`).join('')
}

const indent = (text: string) => text.replaceAll('\n', `\n${' '.repeat(14)}`)

function bubblewrapText({ found, path, version, works, error, remedy }: DoctorReport['bubblewrap']): string {
  if (works) return `${version}, ${path}`
  return [found ? `${version} does not work: ${error}` : error, remedy].join('\n')
}

function pythonText({ path, version, pip, torch }: NonNullable<DoctorReport['python']>): string {
  return `${version}, ${path}${pip ? '' : ', without pip'}${torch === null ? '' : ', with PyTorch'}`
}
