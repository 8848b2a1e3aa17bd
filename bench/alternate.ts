/** Trials of several sides in turn, so that a change of the machine's speed meets all of them. */
import { busySeconds } from './machine.ts'
import { type Spread, spreadOf, type Trial } from './statistics.ts'
import type { Asked, RunAnswer } from './worker.ts'

/** One repetition in a child, with the cores that other programs used meanwhile. */
export async function runTrial(worker: Asked): Promise<Trial> {
  const before = busySeconds()
  const start = performance.now()
  const { seconds, cpuSeconds, times = 1 } = await worker.ask<RunAnswer>('run')
  const wall = (performance.now() - start) / 1000
  const after = busySeconds()
  const others = before === null || after === null ? 0 : Math.max(0, (after - before - cpuSeconds) / wall)
  return { seconds: seconds * times, cpuSeconds: cpuSeconds * times, others }
}

/**
 * Runs each child `reps` times, one after the other in rounds, after one repetition each that is not counted.
 *
 * @returns one spread a child, in order
 */
export async function alternate(workers: readonly Asked[], reps: number): Promise<Spread[]> {
  for (const worker of workers) await worker.ask('run')
  const trials = workers.map((): Trial[] => [])
  for (let rep = 0; rep < reps; rep++)
    for (const [index, worker] of workers.entries()) trials[index]!.push(await runTrial(worker))
  return trials.map(spreadOf)
}
