/** The tables, from the lines of `samples.jsonl` and `timings.jsonl` alone. */
import { mean, sum } from '../../base/statistics.ts'
import { codeColumns } from '../../tasks/code/columns.ts'
import type { Column } from '../../tasks/task/columns.ts'
import { writingColumns } from '../../tasks/writing/columns.ts'
import { type Estimate, estimate, passAtK } from './statistics.ts'
import type {
  Comparison,
  ComparisonAbout,
  ComparisonSample,
  ComparisonTiming,
  MethodAbout,
  MethodSummary,
} from './types.ts'

/** The k of pass@k that are reported where there are so many samples. */
const passCounts = [1, 3, 5, 10]

/**
 * Averages: turns of a joint completion, then joint completions of a seed, then seeds, with the interval over seeds.
 *
 * Speed is tokens over seconds of all timed items of a seed, time their mean. pass@k counts the last turn of each joint completion.
 */
export function summarize(
  about: ComparisonAbout,
  samples: readonly ComparisonSample[],
  timings: readonly ComparisonTiming[],
): Comparison {
  const columns = columnsOf(about, samples)
  const methods = about.methods.map((method) => {
    const rows = samples.filter(({ method: name }) => name === method.name)
    const timed = timings.filter(({ method: name }) => name === (method.scoringOf ?? method.name))
    return summarizeMethod(method, about, columns, rows, timed)
  })
  return { about, columns, methods }
}

function columnsOf({ kind, maxReward }: ComparisonAbout, samples: readonly ComparisonSample[]): Column[] {
  if (kind === 'writing') return writingColumns
  if (kind === 'code') return codeColumns
  const names = new Set(samples.flatMap(({ columns }) => Object.keys(columns)))
  names.delete('return')
  const parts = [...names].map((name): Column => ({ name, title: name, unit: '' }))
  return [...parts, { name: 'return', title: 'return', unit: maxReward === null ? '' : '%' }]
}

function summarizeMethod(
  { name, scoringOf, play }: MethodAbout,
  { seeds }: ComparisonAbout,
  columns: readonly Column[],
  rows: readonly ComparisonSample[],
  timed: readonly ComparisonTiming[],
): MethodSummary {
  const bySeed = seeds.map((seed) => joined(rows.filter((row) => row.seed === seed)))
  /** One value per seed: the mean of what `of` says of its joint completions, those it says null of left out. */
  const over = (of: (turns: ComparisonSample[]) => number | null): Estimate | null =>
    estimate(
      bySeed.flatMap((plays) => {
        const values = plays.map(of).filter((value) => value !== null)
        return values.length === 0 ? [] : [mean(values)]
      }),
    )
  const column = (key: string) => over((turns) => meanOf(turns.map((turn) => turn.columns[key] ?? null)))
  const timedSeeds = seeds.map((seed) => timed.filter((row) => row.seed === seed)).filter(({ length }) => length > 0)
  const metricNames = [...new Set(rows.flatMap(({ metrics }) => Object.keys(metrics)))]
  const isSingle = play === 'single' && scoringOf === undefined
  return {
    name,
    speed: estimate(
      timedSeeds.map((some) => sum(some.map(({ tokens }) => tokens)) / sum(some.map(({ seconds }) => seconds))),
    ),
    time: estimate(timedSeeds.map((some) => mean(some.map(({ seconds }) => seconds)))),
    columns: Object.fromEntries(columns.map(({ name: key }) => [key, column(key)])),
    passAt: passAt(bySeed),
    divided: isSingle ? over(([first]) => (first?.divided === undefined ? null : Number(first.divided))) : null,
    metrics: entries(metricNames, (key) => over((turns) => meanOf(turns.map((turn) => turn.metrics[key] ?? null)))),
    tokens: over((turns) => sum(turns.flatMap(({ said }) => said.map(({ tokens }) => tokens)))),
  }
}

/** Rows by joint completion, turns in order. */
function joined(rows: readonly ComparisonSample[]): ComparisonSample[][] {
  const plays = new Map<string, ComparisonSample[]>()
  for (const row of rows) {
    const key = `${row.item} ${row.sample}`
    plays.set(key, [...(plays.get(key) ?? []), row])
  }
  return [...plays.values()].map((turns) => turns.sort((a, b) => a.turn - b.turn))
}

function passAt(bySeed: readonly ComparisonSample[][][]): Record<string, Estimate> {
  const counts = bySeed.map((plays) => {
    const byItem = new Map<number, { n: number; m: number }>()
    for (const turns of plays) {
      const { item, passed } = turns.at(-1)!
      if (passed === null) continue
      const count = byItem.get(item) ?? { n: 0, m: 0 }
      byItem.set(item, { n: count.n + 1, m: count.m + Number(passed) })
    }
    return [...byItem.values()]
  })
  return entries(passCounts.map(String), (k) =>
    estimate(
      counts.flatMap((items) => {
        const enough = items.filter(({ n }) => n >= Number(k))
        return enough.length === 0 ? [] : [mean(enough.map(({ n, m }) => passAtK(n, m, Number(k))))]
      }),
    ),
  )
}

function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null && Number.isFinite(value)) as number[]
  return known.length === 0 ? null : mean(known)
}

function entries(names: readonly string[], of: (name: string) => Estimate | null): Record<string, Estimate> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = of(name)
      return value === null ? [] : [[name, value] as const]
    }),
  )
}
