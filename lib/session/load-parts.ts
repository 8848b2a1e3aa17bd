/** What a configuration names, loaded. */
import { Disposer } from '../base/disposer.ts'
import type { RunConfig } from '../config/load.ts'
import { algorithmOf } from '../rl/algorithms/registry.ts'
import type { Algorithm } from '../rl/options/algorithm.ts'
import type { Task } from '../tasks/task/types.ts'
import { loadTrackers } from '../track/load-trackers.ts'
import type { Tracker } from '../track/tracker.ts'
import { loadTask } from './load-task.ts'
import { type LoadedTeam, type LoadTeamOptions, loadTeam } from './load-team.ts'

/** A task and a team that plays it. */
interface LoadedPlay {
  task: Task
  loaded: LoadedTeam
  /** Frees team, models and task. */
  dispose(): Promise<void>
}

/** All that a configuration names. */
interface LoadedParts extends LoadedPlay {
  algorithm: Algorithm
  trackers: Tracker[]
}

/**
 * Makes task and team of a configuration.
 *
 * @throws what making the task and loading the models throws; what was loaded is freed then
 */
export async function loadPlay(
  config: Pick<RunConfig, 'task' | 'team' | 'seed'>,
  options: LoadTeamOptions = {},
): Promise<LoadedPlay> {
  return Disposer.guard(async (disposer) => {
    const task = await loadTask(config.task, { log: options.onWarning })
    disposer.defer(() => task.dispose?.())
    const loaded = disposer.use(await loadTeam(config.team, task.agents, config.seed, options))
    return { task, loaded, dispose: () => disposer.dispose() }
  })
}

/**
 * Makes task, team, algorithm and trackers of a configuration.
 *
 * @throws as {@link loadPlay}; ConfigError for an algorithm; what making the trackers throws
 */
export async function loadParts(
  config: RunConfig,
  options: Omit<LoadTeamOptions, 'algorithm' | 'weights'> = {},
): Promise<LoadedParts> {
  const { name, ...settings } = config.algorithm
  const algorithm = algorithmOf(name, settings)
  return Disposer.guard(async (disposer) => {
    const play = disposer.use(await loadPlay(config, { ...options, algorithm }))
    return { ...play, algorithm, trackers: await loadTrackers(config.trackers) }
  })
}

/** The name and the settings of training in a configuration: what is neither loaded nor about the run folder. */
export function trainSettings(config: RunConfig) {
  const { runDir, team, task, algorithm, trackers, checkpointEvery, keepCheckpoints, processes, ...settings } = config
  return settings
}
