/**
 * Cooperation schemes of joint completions: which of the ways named by the MAGRPO paper (arXiv 2508.04652, section on
 * coding collaboration) the entry point uses the helper in, read off syntax trees, and confirmed by running the problem's
 * tests with another helper. `docs/cooperation.md` has the rules and how often they are right.
 */
import { expectList, expectObject } from '../../base/arguments.ts'
import { MagrpoError } from '../../base/errors.ts'
import { abortSignal, flag, handle } from '../../base/fields.ts'
import { type FieldsOf, resolve, section } from '../../base/validate.ts'
import type { AuxConstant, AuxVariant, CooperationProgram } from '../../sandbox/cooperation.ts'
import type { PythonSandbox } from '../../sandbox/python-sandbox.ts'
import type { CooperationLabel, CooperationReading, SandboxLimits, TestReport } from '../../sandbox/types.ts'
import { type CodeItem, checkCodeItem } from './item.ts'

export {
  type CooperationFeatures,
  type CooperationLabel,
  type CooperationReading,
  cooperationLabels,
} from '../../sandbox/types.ts'

/** What running a program with other helpers shows. Pass rates are shares of the problem's asserts, from 0 to 1. */
export interface CooperationExperiment {
  /** With the helper as it is. */
  p0: number
  /** With a helper that returns None. */
  pNone: number
  /** With a helper that raises. */
  pRaise: number
  /** With a helper that returns its first argument. */
  pId: number
  /** With a helper that returns True. */
  pTrue: number
  /** With a helper that returns False. */
  pFalse: number
  /** The best of helpers that return -1, '' and []; `null` for programs that are no fallback. */
  pSentinel: number | null
  /**
   * How many different, non-empty sets of asserts pass if the helper always returns True, always False, or always one of the
   * two to four small constants it really gave: 2 or more if its value decides between ways that are each right for some.
   */
  ways: number
  /** Calls of the helper a call of the entry point, mean over the tests; `null` if the program did not get that far. */
  callsPerTest: number | null
  /** The most calls of the helper in one call of the entry point. */
  maxCalls: number | null
  /** `p0 - max(pNone, pRaise)`: what would be lost without the helper. */
  usefulness: number
  /** For each label of the program whether it behaves like it; `false` where `p0` is 0, since nothing can be seen then. */
  confirmed: Partial<Record<CooperationLabel, boolean>>
}

/** A reading and, where it was asked for and there is a program to run, what running it shows. */
export interface Cooperation extends CooperationReading {
  dynamic?: CooperationExperiment
}

/** Options of {@link detectCooperation}. */
export interface CooperationOptions {
  /** Reads and runs the programs. */
  sandbox: Pick<PythonSandbox, 'readCooperation' | 'experiment'>
  /** Also run the problem's tests with other helpers: six to eleven runs a program. Defaults to `false`. */
  dynamic?: boolean
  /** Limits of each run. Defaults to `experimentLimits`: helpers that are switched off make endless loops. */
  limits?: Partial<SandboxLimits>
  signal?: AbortSignal
}

const cooperationSection = section({
  sandbox: handle<CooperationOptions['sandbox']>('a PythonSandbox'),
  dynamic: flag().optional(),
  limits: handle<Partial<SandboxLimits>>('limits').optional(),
  signal: abortSignal(),
} satisfies FieldsOf<CooperationOptions>)

/** Limits of a run with another helper where nothing else is said. */
const experimentLimits: Partial<SandboxLimits> = { cpuSeconds: 1, programCpuSeconds: 4, maxTimeouts: 1 }

/** Pass rates this close count as equal: `nearly p0` is from this share of `p0` up. */
const nearly = 0.9

/** A pass rate up to this share of `p0` counts as lost. */
const lost = 0.5

/**
 * How one joint completion cooperates.
 *
 * @param texts the first has `aux`, the last the entry point
 * @throws MagrpoError `ERR_DATA` for an item that is none, `ERR_ARGUMENT` for fewer than two texts
 * @throws SandboxError `ERR_SANDBOX`; never because of what the program does
 * @example
 * ```ts
 * const aux = 'def aux(x):\n    return x * x\n'
 * const main = 'def total(xs):\n    return sum(aux(x) for x in xs)\n'
 * const { primary, dynamic } = await detectCooperation(item, [aux, main], { sandbox, dynamic: true })
 * console.log(primary, dynamic?.usefulness) // coordinator 0.75
 * ```
 */
export async function detectCooperation(
  item: CodeItem,
  texts: readonly string[],
  options: CooperationOptions,
): Promise<Cooperation> {
  return (await detectCooperations([{ item, texts }], options))[0]!
}

/** One joint completion of a problem. */
export interface CooperationSample {
  item: CodeItem
  texts: readonly string[]
}

/** {@link detectCooperation} of many, read in few requests; equal ones are read and run once. */
export async function detectCooperations(
  samples: readonly CooperationSample[],
  options: CooperationOptions,
): Promise<Cooperation[]> {
  expectList(samples, 'samples of detectCooperations')
  for (const [index, sample] of samples.entries()) {
    expectObject(sample, `sample ${index}`)
    expectList(sample.texts, `texts of sample ${index}`)
  }
  const { sandbox, limits, signal } = resolve(cooperationSection, options, 'The options of detectCooperation')
  const places = new Map<string, number>()
  const distinct: (CooperationProgram & { item: CodeItem })[] = []
  const place = samples.map(({ item, texts }) => {
    const program = programOf(item, texts)
    const key = JSON.stringify([program, options.dynamic ? [item.prompt, item.test] : null])
    const known = places.get(key) ?? distinct.push({ ...program, item }) - 1
    places.set(key, known)
    return known
  })
  const readings = await readInBatches(sandbox, distinct, signal)
  const found: Cooperation[] = options.dynamic
    ? await Promise.all(
        readings.map(async (reading, index) => {
          const dynamic = await runExperiment(sandbox, distinct[index]!, reading, limits ?? experimentLimits, signal)
          return dynamic === undefined ? reading : { ...reading, dynamic }
        }),
      )
    : readings
  return place.map((index) => found[index]!)
}

function programOf(item: CodeItem, texts: readonly string[]): CooperationProgram {
  const { entry_point: entryPoint } = checkCodeItem(item)
  if (texts.length < 2)
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `Expected a helper's text and an entry point's to look for cooperation but received ${texts.length}.`,
    )
  return { aux: texts[0]!, main: texts.at(-1)!, entryPoint }
}

async function readInBatches(
  sandbox: CooperationOptions['sandbox'],
  programs: readonly CooperationProgram[],
  signal: AbortSignal | undefined,
): Promise<CooperationReading[]> {
  const size = 32
  const batches = Array.from({ length: Math.ceil(programs.length / size) }, (_, batch) =>
    programs.slice(batch * size, (batch + 1) * size).map(({ aux, main, entryPoint }) => ({ aux, main, entryPoint })),
  )
  const read = batches.map((batch) => sandbox.readCooperation(batch, signal === undefined ? {} : { signal }))
  return (await Promise.all(read)).flat()
}

async function runExperiment(
  sandbox: CooperationOptions['sandbox'],
  { aux, main, entryPoint, item }: CooperationProgram & { item: CodeItem },
  reading: CooperationReading,
  limits: Partial<SandboxLimits>,
  signal: AbortSignal | undefined,
): Promise<CooperationExperiment | undefined> {
  if (reading.primary === null || reading.features?.helper === 'none') return undefined
  const { prompt, test } = item
  const run = async (variant: AuxVariant) => {
    const report = await sandbox.experiment({
      aux,
      main,
      entryPoint,
      prompt,
      test,
      variant,
      limits,
      ...(signal && { signal }),
    })
    return { ...report, ...passesOf(report.tests) }
  }
  const withConstant = (value: AuxConstant) => run({ kind: 'constant', value })
  const original = await run({ kind: 'original' })
  if (original.tests === null) return undefined
  const isFallback = reading.labels.includes('fallback')
  const [none, raised, identity, yes, no, counted, ...sentinels] = await Promise.all([
    withConstant(null),
    run({ kind: 'raising' }),
    run({ kind: 'identity' }),
    withConstant(true),
    withConstant(false),
    run({ kind: 'counting' }),
    ...(isFallback ? [-1, '', [] as never[]].map(withConstant) : []),
  ])
  const { counts } = counted
  const isFilter = reading.labels.includes('strategy_filter')
  const seen = (counts?.seen ?? []).filter((value) => typeof value !== 'boolean')
  const others = isFilter && seen.length > 1 ? await Promise.all(seen.map(withConstant)) : []
  const passing = [yes, no, ...others].map(({ passed }) => passed).filter((passed) => passed !== '')
  const measured = {
    p0: original.rate,
    pNone: none.rate,
    pRaise: raised.rate,
    pId: identity.rate,
    pTrue: yes.rate,
    pFalse: no.rate,
    pSentinel: isFallback ? Math.max(...sentinels.map(({ rate }) => rate)) : null,
    ways: new Set(passing).size,
    callsPerTest: counts === null || counts.tests === 0 ? null : counts.calls / counts.tests,
    maxCalls: counts?.most ?? null,
    usefulness: original.rate - Math.max(none.rate, raised.rate),
  }
  return { ...measured, confirmed: confirm(reading.labels, measured) }
}

/** Share of asserts that pass, and which. */
function passesOf(tests: TestReport | null): { rate: number; passed: string } {
  if (tests === null || tests.total === 0) return { rate: 0, passed: '' }
  const passed = tests.outcomes.filter(({ ok }) => ok).map(({ number }) => number)
  return { rate: tests.passed / tests.total, passed: passed.join() }
}

/** Whether a program behaves like each of its labels; the thresholds are in `docs/cooperation.md`. */
export function confirm(
  labels: readonly CooperationLabel[],
  measured: Omit<CooperationExperiment, 'confirmed'>,
): Partial<Record<CooperationLabel, boolean>> {
  const { p0, pNone, pRaise, pId, pTrue, pFalse, pSentinel, ways, callsPerTest, maxCalls } = measured
  const isKept = Math.max(pNone, pRaise, pSentinel ?? 0) >= nearly * p0
  // A backup hides the loss, though hardly of both.
  const without = labels.includes('fallback') ? Math.min(pNone, pRaise) : Math.max(pNone, pRaise)
  const isLost = without <= lost * p0
  const isCalled = (callsPerTest ?? 0) > 0
  const changesNothing = [pNone, pId, pTrue, pFalse].every((rate) => rate === p0)
  const behaves: Record<CooperationLabel, boolean> = {
    no_call: callsPerTest === 0 && changesNothing && pRaise === p0,
    ignored: changesNothing,
    wrapper: isLost && maxCalls === 1,
    fallback: isKept && isCalled,
    strategy_filter: isCalled && ways > 1,
    coordinator: isLost && (maxCalls ?? 0) > 1,
    decorator: isLost && maxCalls === 1,
    other: isCalled,
  }
  return Object.fromEntries(labels.map((label) => [label, p0 > 0 && behaves[label]]))
}
