import type { RunConfig } from '../config/load.ts'
import type { RawConfig } from '../config/schema.ts'
import type { Algorithm } from '../rl/algorithms.ts'
import type { Run } from '../rl/run.ts'
import type { ResolvedTrainOptions, RunSink } from '../rl/types.ts'
import type { Task } from '../tasks/types.ts'
import { loadTrackers } from '../track/load-trackers.ts'
import { TrackerSink } from '../track/tracker-sink.ts'
import { describeEnvironment } from './environment.ts'
import { loadTask } from './load-task.ts'
import { type LoadedTeam, loadTeam } from './load-team.ts'
import { RunFolder, runFiles } from './run-folder.ts'
import { RunRecorder } from './run-recorder.ts'

/** What {@link prepareRun} may be told. */
export interface PrepareRunOptions {
  /** Who shows the run, besides the run folder. */
  sinks?: readonly RunSink[]
  signal?: AbortSignal
  /** Takes warnings of the task, for people. */
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
  /** Frees task, team and models; takes the folder back if training never began. */
  dispose(): Promise<void>
}

/**
 * Prepares a training run from a configuration: makes the run folder (before the native part is loaded), the task and the team.
 *
 * @throws MagrpoError `ERR_RUN_EXISTS`, ConfigError, and what making the task and loading the models throws; the folder is
 *   taken back then
 */
export async function prepareRun(config: RunConfig, options: PrepareRunOptions = {}): Promise<PreparedRun> {
  const { sinks = [], signal, onProgress } = options
  const algorithm = await makeAlgorithm(config.algorithm)
  const folder = await RunFolder.create(config.runDir)
  const recorder = new RunRecorder(folder, {
    onResolved: (resolved) => folder.writeConfig(resolvedConfig(config, resolved)),
  })
  const undo: (() => Promise<unknown> | undefined)[] = [async () => (recorder.started ? undefined : folder.discard())]
  const dispose = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    await folder.writeConfig(configFile(config))
    const environment = await describeEnvironment()
    await folder.writeJson(runFiles.environment, environment)
    const task = await loadTask(config.task, { log: options.onWarning })
    undo.push(() => task.dispose?.())
    const onModel = (source: string) => onProgress?.(`loading ${source}`)
    const loaded = await loadTeam(config.team, task.agents, config.seed, { signal, algorithm, onModel })
    undo.push(loaded.dispose)
    await folder.writeJson(runFiles.environment, { ...environment, native: await nativeFacts(loaded) })
    const { train } = await import('../rl/train.ts')
    const { name, runDir: _runDir, team: _team, task: _task, algorithm: _algorithm, trackers, ...settings } = config
    const tracked = new TrackerSink(await loadTrackers(trackers), { run: { name, folder: folder.path }, sinks })
    const run = train({ ...settings, team: loaded.team, task, algorithm, sinks: [recorder, ...sinks, tracked], signal })
    return { run, folder, task, loaded, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

async function makeAlgorithm(config: RawConfig['algorithm']): Promise<Algorithm> {
  const { algorithmOf } = await import('../rl/algorithms.ts')
  const { name, ...settings } = config
  return algorithmOf(name, settings)
}

async function nativeFacts({ models }: LoadedTeam): Promise<Record<string, unknown>> {
  const { loadAddon } = await import('../native/load-addon.ts')
  const describe = ({ source, device, dtype, parameterCount, weightBytes }: LoadedTeam['models'][number]) => ({
    source,
    device,
    dtype,
    parameterCount,
    weightBytes,
  })
  return { ...loadAddon().info(), models: models.map(describe) }
}

/** The configuration in the form of a configuration file. */
function configFile(config: RunConfig): Record<string, unknown> {
  const { task } = config
  return { ...config, task: 'module' in task ? task : { name: task.name, ...task.options } }
}

/** The configuration with everything as training resolved it, still in the form of a configuration file. */
function resolvedConfig(config: RunConfig, resolved: ResolvedTrainOptions): Record<string, unknown> {
  const { task: about, team: _team, epochs: _epochs, maxTokensPerMicroBatch, ...settings } = resolved
  const { epochs: _given, ...file } = configFile(config)
  const { adapter } = config.team
  const fullAdapter = adapter === 'full' ? adapter : { alpha: 2 * adapter.rank, ...adapter }
  return {
    ...file,
    ...settings,
    ...(maxTokensPerMicroBatch !== null && { maxTokensPerMicroBatch }),
    team: { ...config.team, agents: about.agents, adapter: fullAdapter },
  }
}
