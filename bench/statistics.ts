/** Numbers from repeated trials. */

/** What repeated trials of one side gave. */
export interface Spread {
  median: number
  min: number
  max: number
  /** Trials counted. */
  trials: number
  /** Trials left out because other programs used the processor. */
  dropped: number
  /** Cores that other programs used during the trials counted, median. */
  others: number
  /** Processor time of the trials counted, median: on a busy machine, and with one thread, it says more than wall time. */
  cpuSeconds: number
}

/** One trial: seconds of wall and of processor time, and the cores that other programs used meanwhile. */
export interface Trial {
  seconds: number
  cpuSeconds: number
  others: number
}

/** @throws RangeError for an empty list */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('Expected at least one value for a median but received none.')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Cores that other programs may use during a trial that counts. */
export const tolerableOthers = 0.25

/** A trial shorter than this is always kept: the kernel counts processor time in steps of 10 ms. */
const shortestJudged = 0.05

/**
 * Which trials count: those that ran beside a quiet machine, or all if fewer than three (or than all) of them did.
 *
 * Both sides of a row are judged apart: each is slowed by its own neighbours.
 */
export function countedTrials(trials: readonly Trial[]): readonly Trial[] {
  const quiet = trials.filter(({ seconds, others }) => seconds < shortestJudged || others <= tolerableOthers)
  return quiet.length >= Math.min(3, trials.length) ? quiet : trials
}

/** Median, least and most seconds of the trials that count. */
export function spreadOf(trials: readonly Trial[]): Spread {
  const counted = countedTrials(trials)
  const seconds = counted.map((trial) => trial.seconds)
  return {
    median: median(seconds),
    min: Math.min(...seconds),
    max: Math.max(...seconds),
    trials: counted.length,
    dropped: trials.length - counted.length,
    others: median(counted.map((trial) => trial.others)),
    cpuSeconds: median(counted.map((trial) => trial.cpuSeconds)),
  }
}

/** Rounds to so many significant digits, for records. */
export function significant(value: number, digits = 4): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : value
}
