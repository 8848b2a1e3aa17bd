import { basename } from 'node:path'
import type { Run } from '../rl/run.ts'
import { train as trainTeam } from '../rl/train.ts'
import type { TrainOptions } from '../rl/types.ts'
import type { Tracker } from '../track/tracker.ts'
import { TrackerSink } from '../track/tracker-sink.ts'
import { describeEnvironment } from './environment.ts'
import { RunFolder, runFiles } from './run-folder.ts'
import { RunRecorder } from './run-recorder.ts'

/** What {@link train} takes. */
export interface RecordedTrainOptions<Item = unknown> extends TrainOptions<Item> {
  /** Folder the run is recorded in, made when it begins: see {@link RunRecorder}. Defaults to none. */
  runDir?: string
  /** Where metrics go besides the run folder; an error of one is a warning. Defaults to none. */
  trackers?: readonly Tracker[]
}

/**
 * Trains a team on a task, and records the run in `runDir` where one is given.
 *
 * Nothing happens until the run is iterated or its `result` is read:
 *
 * ```ts
 * for await (const step of train(options)) console.log(step.index, step.metrics['reward/mean'])
 * ```
 *
 * The iteration rejects with `ERR_RUN_EXISTS` if `runDir` holds something already.
 *
 * @throws ConfigError or MagrpoError `ERR_TASK` at once, for options that are out of range or do not fit each other
 */
export function train<Item>(options: RecordedTrainOptions<Item>): Run {
  const { runDir, sinks: given = [], trackers = [], ...rest } = options
  const about = { name: runDir === undefined ? 'run' : basename(runDir), folder: runDir ?? null }
  const sinks = [...given, new TrackerSink(trackers, { run: about, sinks: given })]
  if (runDir === undefined) return trainTeam({ ...rest, sinks })
  const open = async () => {
    const folder = await RunFolder.create(runDir)
    await folder.writeJson(runFiles.environment, await describeEnvironment())
    return folder
  }
  const recorder = new RunRecorder(open, { onResolved: (resolved, folder) => folder.writeConfig(resolved) })
  return trainTeam({ ...rest, sinks: [recorder, ...sinks] })
}
