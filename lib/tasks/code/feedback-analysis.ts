/** What feedback is made of: the facts of the last turn's program and those test results that feedback may show. */
import type { CodeDiagnosis, CodeReport, TestOutcome } from '../../sandbox/types.ts'
import type { CodeItem } from './item.ts'
import type { SandboxSlice } from './options.ts'
import type { CodeReward } from './reward.ts'

/** One assert whose result is shown. */
export interface ShownTest extends Pick<TestOutcome, 'ok' | 'reason' | 'message'> {
  /** Its source, with the entry point's name. */
  assert: string
}

/** The last turn, as feedback sees it. */
export interface TurnAnalysis {
  diagnosis: CodeDiagnosis
  /** The asserts within the slice, in the order of the text; `null` if the program could not be tested. */
  tests: ShownTest[] | null
  /** How many asserts the slice has. */
  testCount: number
}

/** The part of a list that a slice names. */
export function sliced<T>(values: readonly T[], slice: SandboxSlice): T[] {
  if (slice === 'all' || slice === 0) return [...values]
  return slice > 0 ? values.slice(0, slice) : values.slice(slice)
}

/** Runs the tests of a joint completion, or recalls how they went, and describes its program. */
export async function analyzeTurn(
  reward: CodeReward,
  item: CodeItem,
  texts: readonly string[],
  slice: SandboxSlice,
  signal?: AbortSignal,
): Promise<TurnAnalysis> {
  const [report, diagnosis] = await Promise.all([
    reward.report(item, texts, signal),
    reward.diagnose(item, texts, signal),
  ])
  return analysisOf(report, diagnosis, slice)
}

/** Puts a report and a diagnosis together. */
function analysisOf(report: CodeReport, diagnosis: CodeDiagnosis, slice: SandboxSlice): TurnAnalysis {
  const numbers = sliced(
    diagnosis.asserts.map((_, number) => number),
    slice,
  )
  if (report.tests === null) return { diagnosis, tests: null, testCount: numbers.length }
  const outcomes = new Map(report.tests.outcomes.map((outcome) => [outcome.number, outcome]))
  const tests = numbers.flatMap((number): ShownTest[] => {
    const outcome = outcomes.get(number)
    // An assert in a branch that never ran says nothing.
    if (outcome === undefined) return []
    const { ok, reason, message } = outcome
    return [{ ok, reason, message, assert: diagnosis.asserts[number]! }]
  })
  return { diagnosis, tests, testCount: tests.length }
}

/** Syntax right, main there, at least one test shown, and all of those passed. */
export function isAllPassed({ diagnosis, tests }: TurnAnalysis): boolean {
  const isDefined = diagnosis.error === null && diagnosis.main.source !== ''
  return isDefined && tests !== null && tests.length > 0 && tests.every(({ ok }) => ok)
}
