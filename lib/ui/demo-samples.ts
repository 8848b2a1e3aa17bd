import type { SampleRow } from '../rl/types.ts'
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

/**
 * A few samples that tell the story: of the problems given, the first with both outcomes if there is one, shown with one of
 * each, else the first samples as they come.
 */
export function tellingSamples(rows: readonly SampleRow[], count: number): SampleRow[] {
  const byItem = [...new Set(rows.map(({ item }) => item))].map((item) => rows.filter((row) => row.item === item))
  const mixed = byItem.find((group) => new Set(group.map(({ parts }) => parts.pass)).size > 1)
  if (mixed === undefined) return rows.slice(0, count)
  const pick = [mixed.find(({ parts }) => parts.pass === 0), mixed.find(({ parts }) => parts.pass === 1)]
  return pick.filter((row) => row !== undefined).slice(0, count)
}
