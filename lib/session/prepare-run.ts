import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'yaml'
import { MagrpoError } from '../base/errors.ts'
import { writtenChoice } from '../config/choice.ts'
import { type RunConfig, resolveConfig } from '../config/load.ts'
import type { RawConfig } from '../config/schema.ts'
import { ReportSink } from '../report/report-sink.ts'
import type { Algorithm } from '../rl/algorithms/algorithms.ts'
import type { Run } from '../rl/run.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { RunSink } from '../rl/types/sink.ts'
import type { CheckpointOptions } from '../run/checkpointer.ts'
import { type Environment, packageVersion } from '../run/environment.ts'
import { recordEnvironment, restoreThreads } from '../run/run-environment.ts'
import { RunFolder, runFiles } from '../run/run-folder.ts'
import { readRunInfo, runFormat } from '../run/run-info.ts'
import { RunRecorder } from '../run/run-recorder.ts'
import type { Task } from '../tasks/task/types.ts'
import { loadTrackers } from '../track/load-trackers.ts'
import { TrackerSink } from '../track/tracker-sink.ts'
import { downloadLines } from '../ui/download-lines.ts'
import { loadTask } from './load-task.ts'
import { type LoadedTeam, loadTeam } from './load-team.ts'

/** What {@link prepareRun} may be told. */
export interface PrepareRunOptions {
  /** Who shows the run, besides the run folder. */
  sinks?: readonly RunSink[]
  signal?: AbortSignal
  /** Takes warnings of the task, and of a run that is resumed, for people. */
  onWarning?(message: string): void
  /** Called with what is being prepared, for people. */
  onProgress?(what: string): void
}

/** A run that is ready to be iterated. */
export interface PreparedRun {
  run: Run
  folder: RunFolder
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
export async function prepareRun(config: RunConfig, options: PrepareRunOptions = {}): Promise<PreparedRun> {
  const folder = await RunFolder.create(config.runDir)
  try {
    const about = { format: runFormat, magrpo: await packageVersion(), origin: 'config' as const, cwd: process.cwd() }
    await folder.writeInfo({ ...about, config: configFile(config) })
    await folder.writeConfig(configFile(config))
    await recordEnvironment(folder, null)
    return await prepareIn(folder, config, options)
  } catch (error) {
    await folder.discard()
    throw error
  }
}

/** What `prepareResume` may be told. */
export interface PrepareResumeOptions extends PrepareRunOptions, CheckpointOptions {}

/**
 * Prepares a run that {@link prepareRun} made to go on where its newest checkpoint stands, or from the beginning where there is none.
 *
 * @throws MagrpoError `ERR_RUN` if there is no run, or one that was begun by a program; `ERR_RUN_VERSION`, `ERR_RUN_LOCKED`; what
 *   making the task and loading the models throws. What a checkpoint has to do with, the run throws when it begins.
 */
export async function prepareResume(runDir: string, options: PrepareResumeOptions = {}): Promise<PreparedRun> {
  const info = await readRunInfo(runDir)
  if (info.origin !== 'config' || info.config === undefined)
    throw new MagrpoError(
      'ERR_RUN',
      `The run in ${runDir} was begun by a program, which alone knows its team and task. Let it call train() with the same options ` +
        'and resume: true.',
      { details: { path: runDir } },
    )
  const { resolveConfig } = await import('../config/load.ts')
  const { sinks, signal, onWarning, onProgress, ...changes } = options
  const given = resolveConfig(info.config, { where: `${runDir}/${runFiles.info}` })
  const config: RunConfig = { ...given, ...definedOf(changes), runDir }
  const folder = await RunFolder.resume(runDir)
  try {
    if (info.cwd !== process.cwd())
      onWarning?.(
        `The run began in ${info.cwd}, this process works in ${process.cwd()}: relative paths may lead elsewhere.`,
      )
    return await prepareIn(folder, config, { sinks, signal, onWarning, onProgress })
  } catch (error) {
    await folder.release()
    throw error
  }
}

async function prepareIn(folder: RunFolder, config: RunConfig, options: PrepareRunOptions): Promise<PreparedRun> {
  const { sinks = [], signal, onProgress, onWarning = () => {} } = options
  const algorithm = await makeAlgorithm(config.algorithm)
  const undo: (() => Promise<unknown> | undefined)[] = []
  const dispose = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const task = await loadTask(config.task, { log: options.onWarning })
    undo.push(() => task.dispose?.())
    if (folder.isResumed) await restoreThreads(folder, (await import('../native/load-addon.ts')).loadAddon())
    const onModel = (source: string) => onProgress?.(`loading ${source}`)
    const commits = folder.isResumed ? await recordedCommits(folder) : {}
    const onDownload = downloadLines({ say: onWarning, sayProgress: onProgress })
    const settingsOfTeam = { signal, algorithm, commits, onModel, onDownload }
    const loaded = await loadTeam(config.team, task.agents, config.seed, settingsOfTeam)
    undo.push(loaded.dispose)
    const changes = await recordEnvironment(folder, await nativeFacts(loaded))
    if (changes.length > 0)
      onWarning(`Results may differ in their last bits from those of the run's beginning: ${changes.join('; ')}.`)
    const recorder = new RunRecorder(folder, {
      task,
      checkpointEvery: config.checkpointEvery,
      keepCheckpoints: config.keepCheckpoints,
      onWarning,
      onResolved: (resolved) => writeResolved(folder, config, resolved, onWarning),
    })
    undo.unshift(() => (recorder.started || folder.isResumed ? folder.release() : folder.discard()))
    const { train } = await import('../rl/train.ts')
    const { name, runDir: _runDir, team: _team, task: _task, algorithm: _algorithm, trackers, ...settings } = config
    const tracked = new TrackerSink(await loadTrackers(trackers), { run: { name, folder: folder.path }, sinks })
    const report = new ReportSink(folder.path, sinks)
    const asked = {
      ...settings,
      team: loaded.team,
      task,
      algorithm,
      sinks: [recorder, ...sinks, tracked, report],
      signal,
    }
    return { run: train(asked, recorder), folder, task, loaded, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** The algorithm of a configuration. */
export async function makeAlgorithm(config: RawConfig['algorithm']): Promise<Algorithm> {
  const { algorithmOf } = await import('../rl/algorithms/algorithms.ts')
  const { name, ...settings } = config
  return algorithmOf(name, settings)
}

async function nativeFacts({ models }: LoadedTeam): Promise<Record<string, unknown>> {
  const { loadAddon } = await import('../native/load-addon.ts')
  const describe = ({ source, hub, device, dtype, parameterCount, weightBytes }: LoadedTeam['models'][number]) => ({
    source,
    ...(hub !== null && { commit: hub.commit }),
    device,
    dtype,
    parameterCount,
    weightBytes,
  })
  return { ...loadAddon().info(), models: models.map(describe) }
}

/** Commits of the models of the hub that a run began with: a branch may have moved since. */
async function recordedCommits(folder: RunFolder): Promise<Record<string, string>> {
  const environment = await folder.readJson<Environment>(runFiles.environment)
  const models = (environment?.native?.models ?? []) as { source: string; commit?: string }[]
  return Object.fromEntries(models.flatMap(({ source, commit }) => (commit === undefined ? [] : [[source, commit]])))
}

/** Writes `config.yaml` as training resolved it; one that a person edited since is left alone, and has no effect. */
async function writeResolved(
  folder: RunFolder,
  config: RunConfig,
  options: ResolvedTrainOptions,
  onWarning: (message: string) => void,
): Promise<void> {
  const resolved = resolvedConfig(config, options)
  const existing = folder.isResumed ? await readConfig(folder) : undefined
  const isOurs = [configFile(config), resolved].some((ours) =>
    isDeepStrictEqual(comparable(existing), comparable(JSON.parse(JSON.stringify(ours)))),
  )
  if (existing === undefined || isOurs) return folder.writeConfig(resolved)
  onWarning(
    `${folder.file(runFiles.config)} was edited since the run began. The run goes on as it began; train with the file to begin another.`,
  )
}

async function readConfig(folder: RunFolder): Promise<unknown> {
  try {
    return parse(await readFile(folder.file(runFiles.config), 'utf8')) as unknown
  } catch {
    return undefined
  }
}

/** Without what a run may be resumed with otherwise, and with the defaults that an older version did not write. */
function comparable(config: unknown): unknown {
  const {
    runDir: _,
    checkpointEvery: _every,
    keepCheckpoints: _keep,
    ...rest
  } = (config ?? {}) as Record<string, unknown>
  try {
    return configFile({ ...resolveConfig(rest), runDir: '' })
  } catch {
    return rest // edited so that it is no configuration any more
  }
}

function definedOf({ checkpointEvery, keepCheckpoints }: CheckpointOptions): CheckpointOptions {
  return {
    ...(checkpointEvery !== undefined && { checkpointEvery }),
    ...(keepCheckpoints !== undefined && { keepCheckpoints }),
  }
}

/** The configuration in the form of a configuration file. */
function configFile(config: RunConfig): Record<string, unknown> {
  return { ...config, task: writtenChoice(config.task), trackers: config.trackers.map(writtenChoice) }
}

/** The configuration with everything as training resolved it, still in the form of a configuration file. */
function resolvedConfig(config: RunConfig, resolved: ResolvedTrainOptions): Record<string, unknown> {
  const { task: about, team: _team, epochs: _epochs, maxTokensPerMicroBatch, rewardTimeoutMs, ...settings } = resolved
  const { epochs: _given, ...file } = configFile(config)
  const { adapter } = config.team
  const fullAdapter = adapter === 'full' ? adapter : { alpha: 2 * adapter.rank, ...adapter }
  return {
    ...file,
    ...settings,
    ...(maxTokensPerMicroBatch !== null && { maxTokensPerMicroBatch }),
    ...(rewardTimeoutMs !== null && { rewardTimeoutMs }),
    team: { ...config.team, agents: about.agents, adapter: fullAdapter },
  }
}
