/** Plays one method with one seed: rows of all joint completions, and the timing of single items. */

import { mapConcurrently } from '../base/concurrency.ts'
import { type ComparisonSample, type ComparisonTiming, cutName, type SaidText } from '../report/comparison/types.ts'
import type { TrainingBackend } from '../rl/backend/training-backend.ts'
import { evaluateBackend } from '../rl/evaluation.ts'
import { rewardCallShape } from '../rl/options/run.ts'
import type { SampleRow } from '../rl/types/reports.ts'
import type { BaselineName } from '../tasks/task/baselines.ts'
import type { ColumnMeter, Outcome } from '../tasks/task/columns.ts'
import type { Task } from '../tasks/task/types.ts'
import type { CompareConfig, MethodConfig } from './config.ts'
import { generateOnce, playWith, type ScoredJoint } from './play-baseline.ts'

/** One method with one seed, and what playing it needs. */
export interface MethodPlay {
  method: MethodConfig
  backend: TrainingBackend
  seed: number
  /** Of an episode of the team. */
  turns: number
  config: CompareConfig
  task: Task
  items: readonly unknown[]
  meter: ColumnMeter
  signal?: AbortSignal
  onProgress(done: number, total: number): void
}

/** A row without what is measured on it. */
type Scored = Omit<ComparisonSample, 'columns' | 'passed'>

/** All joint completions of one method and seed, measured. */
export async function playMethod(play: MethodPlay): Promise<ComparisonSample[]> {
  const { method, config, items, meter, signal } = play
  const rows = method.play === 'team' ? await playTeam(play) : await playBaselineRows(play, method.play)
  const limit = config.rewardConcurrency ?? rewardCallShape.rewardConcurrency.parse(undefined)
  return mapConcurrently(rows, limit, async (row) => {
    const outcome: Outcome = { reward: row.reward, parts: row.parts }
    const isAlone = method.play === 'single'
    return { ...row, ...(await meter.measure(items[row.item], row.texts, outcome, isAlone, signal)) }
  })
}

function settingsOf({ method, seed, config, task, items, signal, onProgress }: MethodPlay) {
  const { samples, maxRows, rewardTimeoutMs, rewardConcurrency } = config
  const sampling = { ...config.sampling, ...method.sampling }
  return { task, items, samples, sampling, seed, maxRows, rewardTimeoutMs, rewardConcurrency, signal, onProgress }
}

/** The team as in training: evaluated along one path a sample, over all turns. */
async function playTeam(play: MethodPlay): Promise<Scored[]> {
  const { method, backend, seed, turns, items, config } = play
  const settings = { ...settingsOf(play), greedy: false, turns, logSamples: items.length }
  const { samples } = await evaluateBackend(backend, settings)
  return samples.map((row) => {
    const { item, turn, agents, reward, parts, metrics } = row
    const said = agents.map(({ name, prompt, completion, tokens, finish }): SaidText => {
      return { agent: name, round: 0, prompt, completion, tokens, finish }
    })
    const texts = agents.map(({ completion }) => completion)
    return {
      method: method.name,
      seed,
      item,
      sample: sampleOf(row, config.samples),
      turn,
      said,
      texts,
      reward,
      parts,
      metrics,
    }
  })
}

/**
 * Which of the item's joint completions a row belongs to. The root has them as its joint actions; after it each turn has a node
 * for each of them, in their order (see `RolloutNode.number`).
 *
 * @param samples joint completions per item
 */
export function sampleOf({ turn, node, joint }: Pick<SampleRow, 'turn' | 'node' | 'joint'>, samples: number): number {
  return turn === 0 ? joint : (node - 1) % samples
}

async function playBaselineRows(play: MethodPlay, baseline: BaselineName): Promise<Scored[]> {
  const { method, backend, seed } = play
  const singleMaxNewTokens = method.sampling.maxNewTokens
  const played = await playWith(backend, { ...settingsOf(play), baseline, singleMaxNewTokens })
  return played.flatMap(({ utterances, isDivided, cut, item, sample, ...scored }) => {
    const said = utterances.map(({ name, round, prompt, completion: { text, ids, finish } }): SaidText => {
      return { agent: name, round, prompt, completion: text, tokens: ids.length, finish }
    })
    const rowOf = (name: string, { joint, ...outcome }: ScoredJoint): Scored => {
      const texts = joint.map(({ text }) => text)
      const divided = baseline === 'single' && { divided: isDivided }
      return { method: name, seed, item, sample, turn: 0, said, texts, ...outcome, ...divided }
    }
    const own = rowOf(method.name, scored)
    return cut ? [own, { ...rowOf(cutName(method.name), cut), cut: true as const }] : [own]
  })
}

/**
 * Times the method on the first items, one at a time and one joint completion each. What is timed is generation: agents of a
 * round or turn answer in one batch, rounds and turns add up; rewards and feedback are left out. The first item is played once before, unmeasured.
 */
export async function timeMethod(play: MethodPlay): Promise<ComparisonTiming[]> {
  const { method, seed, turns, items } = play
  const settings = { ...settingsOf(play), samples: 1, onProgress: undefined }
  const once = (item: number) =>
    timeGeneration(play.backend, async (backend) => {
      if (method.play === 'team') {
        const one = [items[item]!]
        return evaluateBackend(backend, { ...settings, items: one, greedy: false, turns, logSamples: 0 })
      }
      const singleMaxNewTokens = method.sampling.maxNewTokens
      return generateOnce(backend, { ...settings, baseline: method.play, singleMaxNewTokens }, item)
    })
  const timings: ComparisonTiming[] = []
  const count = Math.min(play.config.timedItems, items.length)
  if (count > 0) await once(0)
  for (let item = 0; item < count; item++) timings.push({ method: method.name, seed, item, ...(await once(item)) })
  return timings
}

/** Wall seconds and new tokens of all that `work` generates with a backend. */
async function timeGeneration(backend: TrainingBackend, work: (backend: TrainingBackend) => Promise<unknown>) {
  const total = { seconds: 0, tokens: 0 }
  const { engine } = backend
  const generate: TrainingBackend['engine']['generate'] = async (requests, sampling, options) => {
    const start = performance.now()
    const result = await engine.generate(requests, sampling, options)
    total.seconds += (performance.now() - start) / 1000
    total.tokens += result.stats.newTokens
    return result
  }
  await work({ ...backend, engine: { ...engine, generate } })
  return total
}
