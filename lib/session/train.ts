import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { resolve } from '../base/validate.ts'
import { loadAddon } from '../native/load-addon.ts'
import { ReportSink } from '../report/report-sink.ts'
import type { Run } from '../rl/run.ts'
import { train as trainTeam } from '../rl/train.ts'
import type { TrainOptions } from '../rl/train-options.ts'
import { type CheckpointOptions, checkpointSection } from '../run/checkpoint-options.ts'
import { packageVersion } from '../run/environment.ts'
import { recordEnvironment, restoreThreads } from '../run/run-environment.ts'
import { RunFolder } from '../run/run-folder.ts'
import { runFormat, runInfoFile } from '../run/run-info.ts'
import { RunRecorder } from '../run/run-recorder.ts'
import type { Tracker } from '../track/tracker.ts'
import { TrackerSink } from '../track/tracker-sink.ts'

/** What {@link train} takes. */
export interface RecordedTrainOptions<Item = unknown> extends TrainOptions<Item>, CheckpointOptions {
  /** Folder the run is recorded in, made when it begins: see `RunRecorder`. Defaults to none. */
  runDir?: string
  /**
   * Go on with the run that `runDir` holds, where its newest checkpoint stands; begin one where it holds none. Team, task and options
   * are to be those the run began with. Defaults to `false`: a run that is there already is an error.
   */
  resume?: boolean
  /** Where metrics go besides the run folder; an error of one is a warning. Defaults to none. */
  trackers?: readonly Tracker[]
  /** Takes what a person should know of a run that is resumed: a damaged checkpoint, another machine. */
  onWarning?(message: string): void
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
 * The iteration rejects with `ERR_RUN_EXISTS` if `runDir` holds something already, with `ERR_RUN_LOCKED` if another process works on
 * it, and with `resume` with `ERR_CHECKPOINT` if its checkpoints cannot be used or the options are others than they were.
 *
 * @throws ConfigError or MagrpoError `ERR_TASK` at once, for options that are out of range or do not fit each other
 */
export function train<Item>(options: RecordedTrainOptions<Item>): Run {
  const { runDir, resume = false, checkpointEvery, keepCheckpoints, onWarning, ...others } = options
  const { sinks: given = [], trackers = [], ...rest } = others
  resolve(checkpointSection, { checkpointEvery, keepCheckpoints }, 'The configuration of the run')
  const about = { name: runDir === undefined ? 'run' : basename(runDir), folder: runDir ?? null }
  const sinks = [...given, new TrackerSink(trackers, { run: about, sinks: given })]
  if (runDir === undefined) return trainTeam({ ...rest, sinks })
  const open = async () => {
    const isThere = resume && existsSync(join(runDir, runInfoFile))
    const folder = isThere ? await RunFolder.resume(runDir) : await RunFolder.create(runDir)
    try {
      if (isThere) await restoreThreads(folder, loadAddon())
      else {
        const magrpo = await packageVersion()
        await folder.writeInfo({ format: runFormat, magrpo, origin: 'code', cwd: process.cwd() })
      }
      const changes = await recordEnvironment(folder, { ...loadAddon().info() })
      if (changes.length > 0)
        onWarning?.(`Results may differ in their last bits from those of the run's beginning: ${changes.join('; ')}.`)
      return folder
    } catch (error) {
      await folder.release()
      throw error
    }
  }
  const recorder = new RunRecorder(open, {
    task: options.task,
    checkpointEvery,
    keepCheckpoints,
    onWarning,
    onResolved: (resolved, folder) => folder.writeConfig(resolved),
  })
  return trainTeam({ ...rest, sinks: [...sinks, new ReportSink(runDir, given)] }, recorder)
}
