/** Every kernel of a device against the CPU's, told by kernel and dtype. */
import type { NativeKernelResult } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { loadAddon } from '../native/load-addon.ts'
import type { CheckRow } from './types.ts'

/** One row per kernel and dtype: its worst case, by the share of what is allowed. */
export async function checkKernels(device: string, quick: boolean): Promise<CheckRow[]> {
  return kernelRows(await callNative((job) => loadAddon().checkKernels(device, quick, job)))
}

/** The rows of results, see {@link checkKernels}. */
export function kernelRows(results: readonly NativeKernelResult[]): CheckRow[] {
  const kinds = new Map<string, NativeKernelResult[]>()
  for (const result of results) {
    const kind = `${result.kernel}, ${result.dtype}`
    kinds.set(kind, [...(kinds.get(kind) ?? []), result])
  }
  return [...kinds.values()].map((cases) => {
    const worst = cases.reduce((a, b) => (badness(b) > badness(a) ? b : a))
    const failed = cases.filter(({ passed }) => !passed)
    return {
      what: worst.kernel,
      how: worst.shape,
      dtype: worst.dtype as CheckRow['dtype'],
      cases: cases.length,
      difference: Number.isFinite(worst.difference) ? worst.difference : null,
      bound: worst.bound,
      passed: failed.length === 0,
      failure: failed.length === 0 ? null : failureOf(failed),
    }
  })
}

const badness = ({ difference, bound }: NativeKernelResult) =>
  Number.isNaN(difference) ? Infinity : bound > 0 ? difference / bound : difference > 0 ? Infinity : 0

/** The first few that failed, each with its place. */
function failureOf(failed: readonly NativeKernelResult[]): string {
  const shown = failed
    .slice(0, 3)
    .map(({ shape, where, expected, seen, difference, bound }) =>
      Number.isNaN(difference) && !where.endsWith(']')
        ? `${shape}: ${where}`
        : `${shape}: expected ${where} = ${expected} but received ${seen}, ${difference.toExponential(1)} apart where ${bound.toExponential(1)} is allowed`,
    )
  const more = failed.length > shown.length ? `; and ${failed.length - shown.length} more` : ''
  return `${failed.length} failed. ${shown.join('; ')}${more}`
}
