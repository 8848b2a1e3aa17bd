/** Learning-rate schedules as pure functions of the step. */

/** Names of the schedules. */
export const scheduleNames = ['constant', 'linear', 'cosine'] as const

/** One of {@link scheduleNames}. */
type ScheduleName = (typeof scheduleNames)[number]

/** How the learning rate moves over a run. */
interface Schedule {
  name: ScheduleName
  /** The full learning rate. */
  peak: number
  /** Steps of linear rise; the last of them has the full rate. */
  warmupSteps: number
  /** Steps of the whole run. */
  totalSteps: number
}

/**
 * Learning rate of a step.
 *
 * With w warm-up steps of N in all, step s (from 0) gets peak·(s + 1)/w while s < w, then peak·f(p) with
 * p = (s - w)/(N - w): f = 1, 1 - p or (1 + cos πp)/2. The first step after the warm-up has the full rate and the last
 * one is still above 0, so that no step is wasted.
 *
 * @param index step, counted from 1
 */
export function learningRateAt(schedule: Schedule, index: number): number {
  const { name, peak, warmupSteps, totalSteps } = schedule
  const step = index - 1
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps))
  if (name === 'linear') return peak * (1 - progress)
  if (name === 'cosine') return (peak * (1 + Math.cos(Math.PI * progress))) / 2
  return peak
}
