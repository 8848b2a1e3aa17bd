/** Each kernel beside the plain libtorch operations that compute the same, and beside the machine's limits. */
import { benchProgram } from '../native-program.ts'
import type { Session } from '../session.ts'
import { showNumber } from '../table.ts'

/** One kernel at one shape, as magrpo_bench prints it. */
export interface KernelRow {
  kernel: string
  shape: string
  /** Median and least time of ours, median of the libtorch operations. */
  seconds: number
  least: number
  aten: number
  /** Read or written at least, each once. */
  bytes: number
  operations: number
  /** Bytes a second read from a buffer of that size, and operations a second of libtorch's product. */
  bandwidth: number
  peak: number
  /** The time these two allow, whichever is longer, over ours. */
  share: number
}

/** All kernels. */
export function measureKernels({ options, env }: Session): Promise<KernelRow[]> {
  return benchProgram<KernelRow>(['kernels', String(options.threads)], { log: options.log, env })
}

/** Header and cells of a table. */
export function kernelCells(rows: readonly KernelRow[]): { header: string[]; lines: string[][] } {
  return {
    header: ['kernel', 'shape', 'µs', 'libtorch µs', 'ratio', 'KiB', 'MFLOP', 'GB/s', 'GFLOP/s', 'of the roof'],
    lines: rows.map((row) => [
      row.kernel,
      row.shape,
      showNumber(row.seconds * 1e6),
      showNumber(row.aten * 1e6),
      (row.aten / row.seconds).toFixed(2),
      showNumber(row.bytes / 1024),
      showNumber(row.operations / 1e6),
      showNumber(row.bytes / row.seconds / 1e9),
      showNumber(row.operations / row.seconds / 1e9),
      `${(100 * row.share).toFixed(0)} %`,
    ]),
  }
}
