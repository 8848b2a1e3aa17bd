import type { SampleRow } from '../rl/types/reports.ts'
import { auxConvention, mainConvention } from '../tasks/mini-code/convention.ts'
import type { Paint } from './style.ts'
import { plain, truncate } from './width.ts'

/** What a joint completion of mini-code looks like: the problem, both functions, what each agent meant, and the verdict. */
export function demoSample(row: SampleRow, columns: number, paint: Paint): string[] {
  const [aux, main] = row.agents
  const texts = { aux: aux?.completion ?? '', main: main?.completion ?? '' }
  const prompt = typeof aux?.prompt === 'string' ? aux.prompt : ''
  const problem = /"""(.*?)"""/s.exec(prompt)?.[1] ?? ''
  const passes = row.parts.pass === 1
  const means = `aux is ${named(auxConvention(texts.aux))}, main takes it for ${named(mainConvention(texts.main))}`
  const verdict = passes ? paint('green', '✔ passes') : paint('red', '✘ fails')
  const code = [texts.aux, texts.main].flatMap((text) => plain(text).trim().split('\n'))
  return [
    paint('dim', truncate(`# ${plain(problem)}`, columns)),
    ...code.slice(0, 8).map((line) => truncate(`  ${line}`, columns)),
    `  ${verdict}: ${means}`,
  ]
}

function named(convention: string): string {
  return convention === 'other' ? 'something else' : `the ${convention}`
}

/** Two programs for one problem: a failing and a passing one, of the first problem that has both, else the first two. */
export function contrastingSamples(rows: readonly SampleRow[]): SampleRow[] {
  for (const item of new Set(rows.map((row) => row.item))) {
    const group = rows.filter((row) => row.item === item)
    const failing = group.find(({ parts }) => parts.pass === 0)
    const passing = group.find(({ parts }) => parts.pass === 1)
    if (failing && passing) return [failing, passing]
  }
  return rows.slice(0, 2)
}
