/** Plays one method with one seed: rows of all joint completions, and the timing of single items. */

import { mapConcurrently } from '../base/concurrency.ts'
import { type ComparisonSample, type ComparisonTiming, cutName, type SaidText } from '../report/comparison/types.ts'
import type { TrainingBackend } from '../rl/backend/training-backend.ts'
import { evaluateBackend } from '../rl/evaluation.ts'
import { rewardCallShape } from '../rl/options/run.ts'
import type { SampleRow } from '../rl/types/reports.ts'
import type { ColumnMeter, Outcome } from '../tasks/task/columns.ts'
import type { Joint } from '../tasks/task/completion.ts'
import type { Task } from '../tasks/task/types.ts'
import type { CompareConfig, MethodConfig } from './config.ts'
import { generateOnce, playWith } from './play-baseline.ts'

/** What playing a method needs. */
export interface PlayContext {
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
export async function playMethod(
  method: MethodConfig,
  backend: TrainingBackend,
  seed: number,
  turns: number,
  context: PlayContext,
): Promise<ComparisonSample[]> {
  const rows =
    method.play === 'team'
      ? await playTeam(method, backend, seed, turns, context)
      : await playBaselineRows(method, backend, seed, context)
  const { meter, items, signal } = context
  return mapConcurrently(
    rows,
    context.config.rewardConcurrency ?? rewardCallShape.rewardConcurrency.parse(undefined),
    async (row) => {
      const outcome: Outcome = { reward: row.reward, parts: row.parts }
      const isAlone = method.play === 'single'
      return { ...row, ...(await meter.measure(items[row.item], row.texts, outcome, isAlone, signal)) }
    },
  )
}

function settingsOf({ sampling }: MethodConfig, { config, task, items, signal, onProgress }: PlayContext) {
  const { samples, maxRows, rewardTimeoutMs, rewardConcurrency } = config
  const limits = {
    ...(maxRows !== undefined && { maxRows }),
    ...(rewardTimeoutMs !== undefined && { rewardTimeoutMs }),
    ...(rewardConcurrency !== undefined && { rewardConcurrency }),
  }
  return { task, items, samples, sampling: { ...config.sampling, ...sampling }, ...limits, signal, onProgress }
}

/** The team as in training: evaluated along one path a sample, over all turns. */
async function playTeam(
  method: MethodConfig,
  backend: TrainingBackend,
  seed: number,
  turns: number,
  context: PlayContext,
): Promise<Scored[]> {
  const settings = { ...settingsOf(method, context), greedy: false, turns, seed, logSamples: context.items.length }
  const { samples } = await evaluateBackend(backend, settings)
  return samples.map((row) => ({
    method: method.name,
    seed,
    item: row.item,
    sample: sampleOf(row),
    turn: row.turn,
    said: row.agents.map(({ name, prompt, completion, tokens, finish }) => ({
      agent: name,
      round: 0,
      prompt,
      completion,
      tokens,
      finish,
    })),
    texts: row.agents.map(({ completion }) => completion),
    reward: row.reward,
    parts: row.parts,
    metrics: row.metrics,
  }))
}

/**
 * Which of the item's joint completions a row belongs to. The root has them as its joint actions; joint j leads to node j + 1,
 * and each node after that, which has one joint action, to the node with the next number (see `RolloutNode.number`).
 */
export function sampleOf({ turn, node, joint }: Pick<SampleRow, 'turn' | 'node' | 'joint'>): number {
  return turn === 0 ? joint : node - turn
}

async function playBaselineRows(
  method: MethodConfig,
  backend: TrainingBackend,
  seed: number,
  context: PlayContext,
): Promise<Scored[]> {
  const { play, sampling } = method
  if (play === 'team') return []
  const { maxNewTokens } = sampling
  const settings = { ...settingsOf(method, context), baseline: play, seed }
  const played = await playWith(backend, {
    ...settings,
    ...(maxNewTokens !== undefined && { singleMaxNewTokens: maxNewTokens }),
  })
  return played.flatMap(({ utterances, isDivided, cut, item, sample, ...scored }) => {
    const said = utterances.map(({ name, round, prompt, completion: { text, ids, finish } }): SaidText => {
      return { agent: name, round, prompt, completion: text, tokens: ids.length, finish }
    })
    const place = { seed, item, sample, turn: 0, said }
    const row = ({
      joint,
      reward,
      parts,
      metrics,
    }: { joint: Joint } & Pick<Scored, 'reward' | 'parts' | 'metrics'>) => {
      return { texts: joint.map(({ text }) => text), reward, parts, metrics }
    }
    const own: Scored = {
      method: method.name,
      ...place,
      ...row(scored),
      ...(play === 'single' && { divided: isDivided }),
    }
    return cut
      ? [own, { method: cutName(method.name), ...place, ...row(cut), divided: isDivided, cut: true as const }]
      : [own]
  })
}

/**
 * Times the method on the first items, one at a time and one joint completion each. What is timed is generation: agents of a
 * round or turn answer in one batch, rounds and turns add up; rewards and feedback are left out. The first item is played once before, unmeasured.
 */
export async function timeMethod(
  method: MethodConfig,
  backend: TrainingBackend,
  seed: number,
  turns: number,
  context: PlayContext,
): Promise<ComparisonTiming[]> {
  const meter = new GenerationMeter(backend)
  const { onProgress: _, ...settings } = settingsOf(method, context)
  const timings: ComparisonTiming[] = []
  const items = context.items.slice(0, context.config.timedItems)
  const once = async (index: number) => {
    const one = { ...settings, items: [items[index]!], samples: 1, seed }
    if (method.play === 'team')
      return void (await evaluateBackend(meter.backend, { ...one, greedy: false, turns, logSamples: 0 }))
    const { maxNewTokens } = method.sampling
    const limit = maxNewTokens === undefined ? {} : { singleMaxNewTokens: maxNewTokens }
    await generateOnce(meter.backend, { ...one, ...limit, baseline: method.play }, items[index]!, index)
  }
  if (items.length > 0) await once(0)
  for (const item of items.keys()) {
    meter.reset()
    await once(item)
    timings.push({ method: method.name, seed, item, seconds: meter.seconds, tokens: meter.tokens })
  }
  return timings
}

/** TrainingBackend whose generation is timed. */
class GenerationMeter {
  readonly backend: TrainingBackend
  seconds = 0
  tokens = 0

  constructor(backend: TrainingBackend) {
    const { engine } = backend
    const generate: TrainingBackend['engine']['generate'] = async (requests, sampling, options) => {
      const start = performance.now()
      const result = await engine.generate(requests, sampling, options)
      this.seconds += (performance.now() - start) / 1000
      this.tokens += result.stats.newTokens
      return result
    }
    this.backend = { ...backend, engine: { ...engine, generate } }
  }

  reset(): void {
    this.seconds = 0
    this.tokens = 0
  }
}
