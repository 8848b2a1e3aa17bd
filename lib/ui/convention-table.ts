import type { Metrics } from '../rl/types/reports.ts'
import { conventions } from '../tasks/mini-code/solutions.ts'
import { sparkline } from './sparkline.ts'
import type { Paint } from './style.ts'
import { pad, truncate } from './width.ts'

/** One look at the team of mini-code: shares of completions that follow each convention, and of programs that pass. */
export interface ConventionShares {
  pass: number
  agree: number
  /** Shares in the order of {@link conventions}. */
  aux: number[]
  main: number[]
}

/**
 * Reads the shares out of metrics.
 *
 * @param prefix `eval/` for those of an evaluation
 */
export function conventionShares(metrics: Metrics, prefix: '' | 'eval/' = ''): ConventionShares {
  const share = (name: string) => metrics[`${prefix}${name}`] ?? 0
  const of = (agent: string) => conventions.map((name) => share(`task/convention/${agent}_${name}`))
  return { pass: share('reward/pass'), agree: share('task/convention/agree'), aux: of('aux'), main: of('main') }
}

/** Curves of what each agent writes: one line a convention, then agreement and passing programs. */
export function conventionTable(history: readonly ConventionShares[], columns: number, paint: Paint): string[] {
  const nameWidth = Math.max(...conventions.map((name) => name.length)) + 2
  const room = Math.max(4, Math.min(30, Math.floor((columns - nameWidth) / 2) - 8))
  const cell = (values: number[]) => {
    const last = values.at(-1) ?? 0
    const text = `${pad(percent(last), 5, 'left')}  ${paint('green', pad(sparkline(values, room, [0, 1]), room))}`
    return last >= 0.5 ? paint('bold', text) : text
  }
  const heading = `${pad('', nameWidth)}${pad('  aux is written as', room + 8)}  main takes aux for`
  const lines = [paint('dim', truncate(heading, columns))]
  for (const [index, name] of conventions.entries()) {
    const aux = cell(history.map((shares) => shares.aux[index] ?? 0))
    const main = cell(history.map((shares) => shares.main[index] ?? 0))
    lines.push(`${pad(name, nameWidth)}${aux}  ${main}`)
  }
  lines.push(`${pad('agree', nameWidth)}${cell(history.map(({ agree }) => agree))}`)
  lines.push(`${pad('pass', nameWidth)}${cell(history.map(({ pass }) => pass))}`)
  return lines
}

/** One line about the same, for logs. */
export function conventionLine(shares: ConventionShares): string {
  const list = (values: number[]) =>
    values
      .map((share, index) => ({ share, name: conventions[index] }))
      .filter(({ share }) => share >= 0.05)
      .sort((a, b) => b.share - a.share)
      .map(({ share, name }) => `${name} ${percent(share)}`)
      .join(', ')
  return `pass ${percent(shares.pass)}, agree ${percent(shares.agree)}; aux: ${list(shares.aux)}; main: ${list(shares.main)}`
}

const percent = (share: number) => `${Math.round(100 * share)} %`
