/** Reports of runs that never ran, for whoever records or shows them. */

import type { ResolvedTrainOptions } from '../../lib/rl/types/options.ts'
import type { EvalReport, SampleRow, StepReport } from '../../lib/rl/types/reports.ts'
import type { RunEnd } from '../../lib/rl/types/sink.ts'

/** Options of a run, as far as recorders look at them. */
export const fakeOptions = {
  task: { name: 'haiku', agents: ['first', 'second'], items: 4, heldOut: 2, maxReward: null, minReward: null },
  steps: 3,
  seed: 0,
} as unknown as ResolvedTrainOptions

/** A joint completion. */
export const fakeSample = (step: number, phase: SampleRow['phase'] = 'train'): SampleRow => ({
  step,
  phase,
  item: 1,
  slot: 0,
  turn: 0,
  node: 0,
  joint: 0,
  reward: 1.5,
  parts: { structure: 1, length: 0.5 },
  metrics: {},
  return: 1.5,
  agents: ['first', 'second'].map((name) => ({
    name,
    prompt: 'Write about rain.',
    completion: `${name} wrote <b>this</b>\n# after ${step} steps`,
    tokens: 7,
    finish: 'stop',
    logProbSum: -3,
    sample: 0,
    advantage: 0.5,
  })),
})

/** A step with a few metrics. */
export const fakeStep = (index: number, metrics: Record<string, number> = {}): StepReport => ({
  index,
  metrics: { 'reward/mean': index / 10, 'reward/std': 0.25, ...metrics },
  timings: { 'time/step_s': 2, 'memory/rss_bytes': 2 ** 28 },
  samples: [fakeSample(index)],
  warnings: [],
})

/** An evaluation. */
export const fakeEval = (index: number): EvalReport => ({
  index,
  score: index / 10,
  metrics: { 'eval/reward/mean': index / 10 },
  timings: { 'time/eval_s': 1 },
  samples: [fakeSample(index, 'eval')],
})

/** The end of a run. */
export const fakeEnd: RunEnd = { reason: 'finished', steps: 3, seconds: 6, best: null, last: null }
