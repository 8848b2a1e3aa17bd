/** Runs methods side by side on a task. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expectList, expectObject } from '../base/arguments.ts'
import { Disposer } from '../base/disposer.ts'
import { abortSignal, callback, text } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import { ranksOfProcess } from '../ranks/process-ranks.ts'
import { ComparisonFolder, comparisonFiles } from '../report/comparison/folder.ts'
import { summarize } from '../report/comparison/summarize.ts'
import {
  type Comparison,
  type ComparisonAbout,
  type ComparisonSample,
  type ComparisonTiming,
  cutName,
  type MethodAbout,
} from '../report/comparison/types.ts'
import { backendOf } from '../rl/team/policy-engine.ts'
import { loadTask } from '../session/load-task.ts'
import type { LoadedTeam } from '../session/load-team.ts'
import { checkBaseline } from '../tasks/baselines/rounds.ts'
import type { Task } from '../tasks/task/types.ts'
import { columnMeter } from './columns.ts'
import type { CompareConfig, MethodConfig } from './config.ts'
import { findTeam, followTrainings, loadTeamOf, type OpenTeamContext } from './open-team.ts'
import { playMethod, timeMethod } from './play-method.ts'

/** What {@link compare} may be told. */
export interface CompareOptions {
  /** Folder for the raw samples, the tables and the runs of teams trained on the way. Defaults to none: nothing is kept. */
  out?: string
  signal?: AbortSignal
  /** Takes lines on what is being done, for people. */
  onProgress?(line: string): void
  /** Takes warnings, for people. */
  log?(message: string): void
}

const compareSection = section({
  out: text().optional(),
  signal: abortSignal(),
  onProgress: callback<(line: string) => void>(),
  log: callback<(message: string) => void>(),
} satisfies FieldsOf<CompareOptions>)

/**
 * Plays every method with every seed on the same held-out items and sums up. Where a launcher started several processes, all of them
 * train, rank 0 plays and keeps, and all get the comparison.
 *
 * @throws MagrpoError `ERR_TASK` if the task cannot play a baseline, `ERR_RUN_EXISTS` if `out` holds something; what loading,
 *   training, generation and the reward throw
 */
export async function compare(config: CompareConfig, options: CompareOptions = {}): Promise<Comparison> {
  expectObject(config, 'configuration of compare')
  expectObject(config.task, 'task of the configuration of compare')
  expectList(config.methods, 'methods of the configuration of compare')
  expectList(config.seeds, 'seeds of the configuration of compare')
  const given = resolve(compareSection, options, 'The options of compare')
  const { out, signal, onProgress = () => {}, log = () => {} } = given
  const task = await loadTask(config.task, { log })
  const disposer = new Disposer()
  disposer.defer(() => task.dispose?.())
  try {
    for (const { play } of config.methods) if (play !== 'team') checkBaseline(task, play)
    const ranks = ranksOfProcess()
    await ranks?.join()
    if (ranks !== null && ranks.place.rank > 0) {
      await followTrainings(config.methods, {
        task,
        seeds: config.seeds,
        runsDir: '',
        signal,
        onProgress: () => {},
        log,
      })
      return (await ranks.gather<Comparison | null>(`comparison/${config.name}`, null, signal))[0]!
    }
    const meter = columnMeter(task)
    disposer.use(meter)
    const heldOut = task.heldOut?.length ? task.heldOut : task.items
    const items = heldOut.slice(0, config.items)
    const folder = out === undefined ? undefined : await ComparisonFolder.create(out, config)
    if (folder) disposer.defer(() => folder.close())
    const runsDir = folder ? join(folder.path, comparisonFiles.runs) : await mkdtemp(join(tmpdir(), 'magrpo-compare-'))
    if (!folder) disposer.defer(() => rm(runsDir, { recursive: true, force: true }))
    const teams: OpenTeamContext = { task, seeds: config.seeds, runsDir, signal, onProgress, log }
    const samples: ComparisonSample[] = []
    const timings: ComparisonTiming[] = []
    const methods: MethodAbout[] = []
    for (const method of config.methods) {
      const about = await playSeeds(method, config.seeds, teams, async (loaded, seed, turns) => {
        const whom = { method, backend: backendOf(loaded.team), seed, turns }
        const play = { ...whom, config, task, items, meter, signal, onProgress: progressOf(method, seed, onProgress) }
        const rows = await playMethod(play)
        const times = await timeMethod(play)
        samples.push(...rows)
        timings.push(...times)
        await folder?.append(rows, times)
      })
      methods.push(about, ...cutAbout(method, about, task))
    }
    const about: ComparisonAbout = {
      name: config.name,
      task: task.name,
      kind: meter.kind,
      maxReward: task.maxReward ?? null,
      items: items.length,
      heldOut: heldOut === task.heldOut,
      samples: config.samples,
      seeds: config.seeds,
      timedItems: Math.min(config.timedItems, items.length),
      shownMetrics: config.metrics,
      methods,
    }
    const comparison = summarize(about, samples, timings)
    await folder?.finish(comparison)
    await ranks?.gather<Comparison | null>(`comparison/${config.name}`, comparison, signal)
    return comparison
  } finally {
    await disposer.dispose()
  }
}

/** Plays a method with each seed; a team that is the same for several seeds is loaded once. */
async function playSeeds(
  method: MethodConfig,
  seeds: readonly number[],
  context: OpenTeamContext,
  play: (loaded: LoadedTeam, seed: number, turns: number) => Promise<void>,
): Promise<MethodAbout> {
  let open: { key: string; loaded: LoadedTeam } | undefined
  let about: MethodAbout | undefined
  try {
    for (const seed of seeds) {
      context.signal?.throwIfAborted()
      const found = await findTeam(method, seed, context)
      if (open?.key !== found.key) {
        await open?.loaded.dispose()
        open = undefined
        open = { key: found.key, loaded: await loadTeamOf(method, found, context) }
      }
      const turns = method.play === 'team' ? (method.turns ?? found.turns) : 1
      await play(open.loaded, seed, turns)
      const weights =
        about === undefined || about.weights === found.about ? found.about : `${about.weights}, ${found.about}`
      about = { name: method.name, play: method.play, turns, weights }
    }
  } finally {
    await open?.loaded.dispose()
  }
  return about!
}

function cutAbout(method: MethodConfig, about: MethodAbout, task: Task): MethodAbout[] {
  const hasCut = method.play === 'single' && task.baselines?.single?.cut !== undefined
  return hasCut ? [{ ...about, name: cutName(method.name), scoringOf: method.name }] : []
}

/** A line each quarter of the items. */
function progressOf(
  { name }: MethodConfig,
  seed: number,
  tell: (line: string) => void,
): (done: number, total: number) => void {
  let shown = 0
  return (done, total) => {
    const quarter = Math.floor((4 * done) / total)
    if (quarter > shown) tell(`${name}, seed ${seed}: ${done} of ${total} items`)
    shown = Math.max(shown, quarter)
  }
}
