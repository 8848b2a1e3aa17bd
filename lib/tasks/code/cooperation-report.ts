/** Cooperation schemes in runs: shares of labels for metrics, and the section of an evaluation. */
import { expectObject } from '../../base/arguments.ts'
import { integer } from '../../base/fields.ts'
import { resolve, section } from '../../base/validate.ts'
import { type CooperationLabel, type CooperationReading, cooperationLabels } from '../../sandbox/types.ts'
import {
  type Cooperation,
  type CooperationExperiment,
  type CooperationOptions,
  type CooperationSample,
  detectCooperations,
} from './cooperation.ts'

/**
 * Numbers to log for a joint completion, whose means are shares that add up to 1: `cooperation/<label>` is 1 for the primary
 * label and 0 for the others; `cooperation/no_program` is 1 where there is no entry point to look at.
 */
export function cooperationMetrics(reading: CooperationReading): Record<string, number> {
  const metrics: Record<string, number> = {}
  for (const label of cooperationLabels) metrics[`cooperation/${label}`] = Number(reading.primary === label)
  metrics['cooperation/no_program'] = Number(reading.primary === null)
  return metrics
}

/**
 * Readings that a reward has come by, for `Task.metrics`, which is asked afterwards and cannot wait: the sandbox reads the
 * syntax trees in the request that runs the tests, so that labels on every sample cost no request of their own. They are
 * kept by what was written, not by who asked, so that a baseline that copies its completions finds them too.
 */
export class CooperationMemory {
  readonly #readings = new Map<string, CooperationReading>()
  readonly #size: number

  /** @param size readings kept, oldest forgotten first; far more than a step has. Defaults to `8192` */
  constructor(size = 8192) {
    this.#size = size
  }

  /** Takes down what was read of the texts of a problem with this entry point. */
  note(entryPoint: string, texts: readonly string[], reading: CooperationReading | null | undefined): void {
    if (!reading) return
    const key = JSON.stringify([entryPoint, texts])
    // Anew, so that a reading is kept at least as long as the newest verdict on its program.
    this.#readings.delete(key)
    this.#readings.set(key, reading)
    for (const oldest of this.#readings.keys()) {
      if (this.#readings.size <= this.#size) break
      this.#readings.delete(oldest)
    }
  }

  /** {@link cooperationMetrics} of texts that were rewarded before; of others, nothing. */
  metrics(entryPoint: string, texts: readonly string[]): Record<string, number> {
    const reading = this.#readings.get(JSON.stringify([entryPoint, texts]))
    return reading === undefined ? {} : cooperationMetrics(reading)
  }
}

const experimentsSection = section({ experiments: integer({ from: 0 }) })

/** Rates whose means a {@link CooperationReport} has. */
const rates = ['p0', 'pNone', 'pRaise', 'pId', 'pTrue', 'pFalse', 'usefulness'] as const

/** The section of an evaluation about cooperation. */
export interface CooperationReport {
  /** Joint completions read. */
  samples: number
  /** Share of each primary label; with `no_program`, which has none, they add up to 1. */
  primary: Record<CooperationLabel | 'no_program', number>
  /** Share of the samples that each label fits; more than one can fit. */
  labels: Record<CooperationLabel, number>
  /** How many of the samples were also run with other helpers. */
  examined: number
  /** Means over those; `null` where there are none. `callsPerTest` leaves out programs that could not be counted. */
  means: (Pick<CooperationExperiment, (typeof rates)[number]> & { callsPerTest: number | null }) | null
  /** For each label that was primary in an examined sample that passes a test: the share that behaves like it. */
  confirmed: Partial<Record<CooperationLabel, number>>
}

/** Options of {@link cooperationReport}. */
export interface CooperationReportOptions extends Omit<CooperationOptions, 'dynamic'> {
  /** Most samples that are run with other helpers, evenly spread over those given. Defaults to `16`; `0` runs none. */
  experiments?: number
}

/**
 * Reads all joint completions of an evaluation and runs some of them with other helpers.
 *
 * @throws as `detectCooperation` does
 */
export async function cooperationReport(
  samples: readonly CooperationSample[],
  options: CooperationReportOptions,
): Promise<CooperationReport> {
  expectObject(options, 'options of cooperationReport')
  const { experiments = 16, ...rest } = options
  resolve(experimentsSection, { experiments }, 'The options of cooperationReport')
  const readings = await detectCooperations(samples, rest)
  const examined = await detectCooperations(evenly(samples, experiments), { ...rest, dynamic: true })
  const share = (holds: (reading: CooperationReading) => boolean) =>
    readings.length === 0 ? 0 : readings.filter(holds).length / readings.length
  const primary = { no_program: share((reading) => reading.primary === null) } as CooperationReport['primary']
  const labels = {} as CooperationReport['labels']
  for (const label of cooperationLabels) {
    primary[label] = share((reading) => reading.primary === label)
    labels[label] = share((reading) => reading.labels.includes(label))
  }
  const ran = examined.filter((each): each is Required<Cooperation> => each.dynamic !== undefined)
  return { samples: samples.length, primary, labels, examined: ran.length, ...summaryOf(ran) }
}

function summaryOf(ran: readonly Required<Cooperation>[]): Pick<CooperationReport, 'means' | 'confirmed'> {
  const confirmed: CooperationReport['confirmed'] = {}
  for (const label of cooperationLabels) {
    const such = ran.filter(({ primary, dynamic }) => primary === label && dynamic.p0 > 0)
    if (such.length > 0) confirmed[label] = mean(such.map(({ dynamic }) => Number(dynamic.confirmed[label])))
  }
  if (ran.length === 0) return { means: null, confirmed }
  const means = Object.fromEntries(rates.map((rate) => [rate, mean(ran.map(({ dynamic }) => dynamic[rate]))]))
  const calls = ran.map(({ dynamic }) => dynamic.callsPerTest).filter((count) => count !== null)
  const callsPerTest = calls.length === 0 ? null : mean(calls)
  return { means: { ...(means as Record<(typeof rates)[number], number>), callsPerTest }, confirmed }
}

/**
 * The part of a report that the means of {@link cooperationMetrics} do not have, as metrics: `cooperation/examined`,
 * `cooperation/p0`, `p_none`, `p_raise`, `p_id`, `p_true`, `p_false`, `usefulness`, `calls_per_test`, and
 * `cooperation/confirmed_<label>`.
 */
export function cooperationReportMetrics({ examined, means, confirmed }: CooperationReport): Record<string, number> {
  const metrics: Record<string, number> = { 'cooperation/examined': examined }
  for (const [name, value] of Object.entries(means ?? {}))
    if (value !== null) metrics[`cooperation/${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`] = value
  for (const [label, value] of Object.entries(confirmed)) metrics[`cooperation/confirmed_${label}`] = value
  return metrics
}

function evenly<T>(values: readonly T[], count: number): T[] {
  if (values.length <= count) return [...values]
  return Array.from({ length: count }, (_, index) => values[Math.floor((index * values.length) / count)]!)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
