/** What `magrpo doctor --check` prints for people. */
import type { CheckReport, CheckRow, StageReport } from '../check/types.ts'

/** The report as a table, what failed, and what may be turned on. */
export function checkText(report: CheckReport): string {
  const { device, name, isGpu, libtorch, quick, stages, settings, passed, seconds } = report
  const lines = stages.flatMap((stage) => linesOf(stage))
  const widths = [0, 1, 2, 3].map((column) => Math.max(0, ...lines.map((line) => line[column]!.length)))
  const table = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const failures = stages.flatMap(({ name: stage, rows }) =>
    rows
      .filter((row) => !row.passed)
      .map((row) => `! ${stage}, ${row.what}${row.how && ` (${row.how})`}: ${row.failure}`),
  )
  const safe = settings.filter((setting) => setting.safe).map((setting) => `${setting.name}=1`)
  const unsafe = settings.filter((setting) => !setting.safe).map((setting) => setting.name)
  return `${[
    `${device}: ${name}, libtorch ${libtorch.version} ${libtorch.variant}${quick ? ', quick' : ''}`,
    ...(isGpu
      ? []
      : [
          'This is not a GPU: the software device computes on the processor (docs/gpu.md). Nothing below says that a GPU works.',
        ]),
    '',
    ...table,
    '',
    ...(failures.length > 0 ? [...failures, ''] : []),
    passed
      ? `All checks passed, in ${seconds.toFixed(0)} s.`
      : `${failures.length} checks failed, in ${seconds.toFixed(0)} s. Please report them, with the output of --json. Train on the CPU until then.`,
    ...(safe.length > 0
      ? [`Safe to turn on ${isGpu ? 'here' : 'as far as the software device can tell'}: ${safe.join(' ')}`]
      : []),
    ...(unsafe.length > 0 ? [`Leave off: ${unsafe.join(' ')}`] : []),
  ].join('\n')}\n`
}

function linesOf({ name, rows, skipped }: StageReport): string[][] {
  if (skipped !== null) return [[' ', name, `left out: ${skipped}`, '', '']]
  return rows.map((row, number) => [
    row.passed ? ' ' : '!',
    number === 0 ? name : '',
    what(row),
    difference(row),
    row.how,
  ])
}

const what = ({ what, dtype, cases }: CheckRow) => `${what}, ${dtype}${cases > 1 ? ` (${cases} cases)` : ''}`

function difference({ difference, bound, passed }: CheckRow): string {
  if (bound === null) return passed ? 'equal' : 'not equal'
  return `${difference === null ? 'no number' : show(difference)} of ${show(bound)}`
}

const show = (value: number) =>
  value === 0 ? '0' : value >= 0.01 && value < 1e6 ? String(Number(value.toPrecision(3))) : value.toExponential(1)
