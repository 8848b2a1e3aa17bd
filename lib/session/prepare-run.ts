import { Disposer } from '../base/disposer.ts'
import { MagrpoError } from '../base/errors.ts'
import { defined } from '../base/fields.ts'
import type { RunConfig } from '../config/load.ts'
import { ranksOfProcess } from '../ranks/process-ranks.ts'
import type { Run } from '../rl/run.ts'
import type { RunSink } from '../rl/types/sink.ts'
import type { CheckpointOptions } from '../run/checkpoint-options.ts'
import { type Environment, recordEnvironment, restoreThreads } from '../run/environment.ts'
import { ReplacedRun } from '../run/replaced-run.ts'
import { RunFolder, runFiles } from '../run/run-folder.ts'
import { type RunInfo, readRunInfo } from '../run/run-info.ts'
import type { Task } from '../tasks/task/types.ts'
import type { RecordOptions } from './assemble.ts'
import { createNumbered, createRunFolder, type IfThere } from './create-run-folder.ts'
import type { LoadedTeam } from './load-team.ts'
import { configFile, recordedConfig, writeResolved } from './recorded-config.ts'

/** What preparing a run may be told. */
export interface PrepareRunOptions {
  /** Who shows the run, besides the run folder. */
  sinks?: readonly RunSink[]
  signal?: AbortSignal
  /** Takes warnings of the task, and of a run that is resumed, for people. */
  onWarning?(message: string): void
  /** Called with what is being prepared, for people. */
  onProgress?(what: string): void
}

/** What {@link prepareRun} may be told. */
export interface PrepareNewRunOptions extends PrepareRunOptions {
  /** What to do where the folder of the run holds one already. Defaults to `refuse`. */
  ifThere?: IfThere
}

/** A run that is ready to be iterated. */
export interface PreparedRun {
  run: Run
  /** Null on a rank above 0, which keeps nothing. */
  folder: RunFolder | null
  task: Task
  loaded: LoadedTeam
  /** Frees task, team, models and the run folder; takes a new folder back if training never began. */
  dispose(): Promise<void>
}

/**
 * Prepares a training run from a configuration: makes the run folder (before the native part is loaded), the task and the team.
 *
 * @throws MagrpoError `ERR_RUN_EXISTS`, `ERR_RUN_LOCKED`, ConfigError, and what making the task and loading the models throws; the
 *   folder is taken back then
 */
export async function prepareRun(config: RunConfig, options: PrepareNewRunOptions = {}): Promise<PreparedRun> {
  const { ifThere = 'refuse', onWarning } = options
  const { runDir } = config
  if (await isFollower()) return prepareParts(config, options)
  const replaced = ifThere === 'replace' ? await ReplacedRun.putAside(runDir) : undefined
  try {
    const create = ifThere === 'number' ? createNumbered : undefined
    const folder = await createRunFolder(runDir, { origin: 'config', config: configFile(config) }, create)
    if (folder.path !== runDir)
      onWarning?.(
        `${runDir} holds a run already: this one is recorded in ${folder.path}. Instead: magrpo resume ${runDir} to go on with that one, or --overwrite to replace it.`,
      )
    const sinks = [{ onStart: () => replaced?.remove() }, ...(options.sinks ?? [])]
    const prepared = await prepareIn(folder, { ...config, runDir: folder.path }, { ...options, sinks })
    const dispose = () => prepared.dispose().finally(() => replaced?.restore())
    return { ...prepared, dispose }
  } catch (error) {
    await replaced?.restore()
    throw error
  }
}

/** Runs that this process has resumed: the ranks of a run name it by their count, as its folder may have another path for each. */
let resumed = 0

/** What `prepareResume` may be told. */
export interface PrepareResumeOptions extends PrepareRunOptions, CheckpointOptions {}

/**
 * Prepares a run that {@link prepareRun} made to go on where its newest checkpoint stands, or from the beginning where there is none.
 *
 * @throws MagrpoError `ERR_RUN` if there is no run, or one that was begun by a program; `ERR_RUN_VERSION`, `ERR_RUN_LOCKED`; what
 *   making the task and loading the models throws. What a checkpoint has to do with, the run throws when it begins.
 */
export async function prepareResume(runDir: string, options: PrepareResumeOptions = {}): Promise<PreparedRun> {
  const isFollowing = await isFollower()
  const ranks = ranksOfProcess()
  // The folder may be out of reach of all ranks but the first.
  const own = isFollowing ? undefined : await readRunInfo(runDir)
  const info = ranks === null ? own! : (await ranks.gather(`resume/${resumed++}`, own))[0]!
  if (info.origin !== 'config' || info.config === undefined)
    throw new MagrpoError(
      'ERR_RUN',
      `The run in ${runDir} was begun by a program, which alone knows its team and task. Let it call train() with the same options ` +
        'and resume: true.',
      { details: { path: runDir } },
    )
  const { resolveConfig } = await import('../config/load.ts')
  const { checkpointEvery, keepCheckpoints, ...others } = options
  const given = resolveConfig(recordedConfig(info), { where: `${runDir}/${runFiles.info}` })
  const config: RunConfig = { ...given, ...defined({ checkpointEvery, keepCheckpoints }), runDir }
  if (config.optimizer.sharded && (ranks === null || ranks.place.size === 1)) {
    // What is computed and saved is the same.
    config.optimizer = { ...config.optimizer, sharded: false }
    options.onWarning?.('The run has spread its optimizer over several processes; this one holds all of it.')
  }
  if (isFollowing) return prepareParts(config, options)
  const folder = await RunFolder.resume(runDir)
  return prepareIn(folder, config, others, info)
}

/** Whether this process is a rank above 0. It meets the other ranks first, so that they hear of whatever goes wrong. */
async function isFollower(): Promise<boolean> {
  const ranks = ranksOfProcess()
  await ranks?.join()
  return ranks !== null && ranks.place.rank > 0
}

/** Prepares a run that another rank keeps. */
async function prepareParts(config: RunConfig, { signal, onWarning }: PrepareRunOptions): Promise<PreparedRun> {
  const { loadParts, trainSettings } = await import('./load-parts.ts')
  const { assemble } = await import('./assemble.ts')
  return Disposer.guard(async (disposer) => {
    // Rank 0 alone has trackers, some of which begin to track when they are made.
    const parts = disposer.use(await loadParts({ ...config, trackers: [] }, { signal, onWarning }))
    const { task, loaded, algorithm } = parts
    const { run } = assemble({ ...trainSettings(config), team: loaded.team, task, algorithm, signal, onWarning })
    return { run, folder: null, task, loaded, dispose: () => disposer.dispose() }
  })
}

/** @param begun what `run.json` of a run that is resumed says */
async function prepareIn(
  folder: RunFolder,
  config: RunConfig,
  { sinks, signal, onProgress, onWarning }: PrepareRunOptions,
  begun?: RunInfo,
): Promise<PreparedRun> {
  return Disposer.guard(async (disposer) => {
    let hasBegun = () => folder.isResumed
    disposer.defer(() => (hasBegun() ? folder.release() : folder.discard()))
    if (begun === undefined) {
      await folder.writeConfig(configFile(config))
      await recordEnvironment(folder, null)
    } else if (begun.cwd !== process.cwd())
      onWarning?.(
        `The run began in ${begun.cwd}, this process works in ${process.cwd()}: relative paths may lead elsewhere.`,
      )
    // Not before the folder is made: these bring the native part.
    const { loadAddon } = await import('../native/load-addon.ts')
    const { loadParts, trainSettings } = await import('./load-parts.ts')
    const { assemble } = await import('./assemble.ts')
    await restoreThreads(folder, loadAddon)
    const commits = await recordedCommits(folder)
    const parts = disposer.use(await loadParts(config, { signal, commits, onProgress, onWarning }))
    const { task, loaded, algorithm, trackers } = parts
    await recordEnvironment(folder, { ...loadAddon().info(), models: loaded.models.map(describeModel) }, onWarning)
    const record: RecordOptions = {
      path: folder.path,
      checkpointEvery: config.checkpointEvery,
      keepCheckpoints: config.keepCheckpoints,
      open: async () => folder,
      onResolved: (resolved) => writeResolved(folder, config, resolved, { format: begun?.format, onWarning }),
    }
    const loadedParts = { team: loaded.team, task, algorithm, trackers }
    const assembled = assemble({ ...trainSettings(config), ...loadedParts, sinks, signal, onWarning, record })
    hasBegun = () => folder.isResumed || assembled.hasBegun()
    return { run: assembled.run, folder, task, loaded, dispose: () => disposer.dispose() }
  })
}

function describeModel({ source, hub, device, dtype, parameterCount, weightBytes }: LoadedTeam['models'][number]) {
  return { source, ...(hub !== null && { commit: hub.commit }), device, dtype, parameterCount, weightBytes }
}

/** Commits of the models of the hub that a run began with, if it is resumed: a branch may have moved since. */
async function recordedCommits(folder: RunFolder): Promise<Record<string, string>> {
  if (!folder.isResumed) return {}
  const environment = await folder.readJson<Environment>(runFiles.environment)
  const models = (environment?.native?.models ?? []) as { source: string; commit?: string }[]
  return Object.fromEntries(models.flatMap(({ source, commit }) => (commit === undefined ? [] : [[source, commit]])))
}
