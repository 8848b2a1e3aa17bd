/** The one place where a run is put together: a team on a task, where the run is kept, and who hears of it. */
import { ranksOfRun } from '../ranks/process-ranks.ts'
import { ReportSink } from '../report/report-sink.ts'
import { type Run, startRun } from '../rl/run.ts'
import { backendOf, type TeamRanks } from '../rl/team/policy-engine.ts'
import type { TrainOptions } from '../rl/train-options.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { RunWarning } from '../rl/types/reports.ts'
import type { RunSink } from '../rl/types/sink.ts'
import type { CheckpointOptions } from '../run/checkpoint-options.ts'
import type { RunFolder } from '../run/run-folder.ts'
import { RunRecorder } from '../run/run-recorder.ts'
import type { Tracker } from '../track/tracker.ts'
import { TrackerSink } from '../track/tracker-sink.ts'

/** What a run is made of. `sinks` are those who show it. */
interface RunParts<Item> extends TrainOptions<Item> {
  /** What trackers call the run. */
  name: string
  /** Where the run is kept. Default: nowhere. */
  record?: RecordOptions
  /** Default: none. */
  trackers?: readonly Tracker[]
  /** Who trains the team, of a run that is planned and not begun. Default: the ranks that this process is one of. */
  ranks?: TeamRanks
  /** Takes what a person should know, besides the warnings that `sinks` are told of. */
  onWarning?(message: string): void
}

/** How a run is kept. */
export interface RecordOptions extends CheckpointOptions {
  /** Path of the run folder. */
  path: string
  /** Makes the run folder or takes it up again, when the run begins; the run releases it when it ends. */
  open(): Promise<RunFolder>
  /** Called with the options of the run as training resolved them, before any work. */
  onResolved(options: ResolvedTrainOptions, folder: RunFolder): Promise<void>
}

/** A run that is ready to be iterated. */
interface AssembledRun {
  run: Run
  /** Whether training began, so that the run folder holds something. */
  hasBegun(): boolean
}

/**
 * Puts a run together. Its store is told of it first, then the sinks that were given, the trackers, and last the report, which reads
 * what the store wrote.
 *
 * @throws ConfigError or MagrpoError `ERR_TASK` for options that are out of range or do not fit each other
 */
export function assemble<Item>(parts: RunParts<Item>): AssembledRun {
  const { team, name, onWarning, record: _, trackers: __, sinks: ___, ranks: planned, ...options } = parts
  const ranks = planned ?? ranksOfRun(team.columns)
  // Rank 0 alone shows and keeps the run.
  const { record, trackers = [], sinks: given = [] }: Partial<RunParts<Item>> = (ranks?.rank ?? 0) === 0 ? parts : {}
  const warn = warningsOf(given, onWarning)
  const sinks = [...given]
  if (trackers.length > 0)
    sinks.push(new TrackerSink(trackers, { run: { name, folder: record?.path ?? null }, onWarning: warn }))
  if (record) sinks.push(new ReportSink(record.path, warn))
  const { task } = options
  const { open, ...recorded } = record ?? {}
  const store = open && new RunRecorder(open, { ...recorded, task, onWarning })
  const run = startRun(backendOf(team, { ...options, ranks }), { ...options, sinks }, store)
  return { run, hasBegun: () => store?.started ?? false }
}

/** Where warnings of trackers and of the report go: to the sinks that listen, else to `onWarning`, else to those of the process. */
function warningsOf(
  sinks: readonly RunSink[],
  onWarning = (message: string) => process.emitWarning(message, 'MagrpoWarning'),
): (warning: RunWarning) => Promise<void> {
  const listeners = sinks.filter((sink) => sink.onWarning)
  return async (warning) => {
    for (const sink of listeners) await sink.onWarning?.(warning)
    if (listeners.length === 0) onWarning(warning.message)
  }
}
