import type { RunConfig } from '../config/load.ts'
import type { FreeOf, MemoryVerdict } from '../rl/memory/fit.ts'
import type { MemoryPlan } from '../rl/memory/plan.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import { loadTrackers } from '../track/load-trackers.ts'
import { downloadLines } from '../ui/download-lines.ts'
import { loadTask } from './load-task.ts'
import { loadTeam } from './load-team.ts'
import { makeAlgorithm, type PrepareRunOptions } from './prepare-run.ts'

/** A run that was made ready and not begun. */
export interface PlannedRun {
  options: ResolvedTrainOptions
  plan: MemoryPlan
  /** One a device. */
  judged: MemoryVerdict[]
}

/**
 * Does everything that a run of this configuration does before its first step, but for the run folder: reads the data, makes the task,
 * loads models and trackers, checks the options, warns of what they alone tell; then plans its memory and frees all of it again.
 *
 * @param freeOf what is free; default: what the system says once models are loaded
 * @throws what `prepareRun` throws for the same configuration, but for the run folder
 */
export async function planRun(
  config: RunConfig,
  { signal, onProgress, onWarning = () => {} }: PrepareRunOptions = {},
  freeOf?: FreeOf,
): Promise<PlannedRun> {
  const algorithm = await makeAlgorithm(config.algorithm)
  const task = await loadTask(config.task, { log: onWarning })
  try {
    const loaded = await loadTeam(config.team, task.agents, config.seed, {
      signal,
      algorithm,
      onModel: (source) => onProgress?.(`loading ${source}`),
      onDownload: downloadLines({ say: onWarning, sayProgress: onProgress }),
    })
    try {
      const { train } = await import('../rl/train.ts')
      const { judgeMemory } = await import('../rl/memory/fit.ts')
      const { WarningWatch } = await import('../rl/report/warnings.ts')
      const {
        name: _name,
        runDir: _runDir,
        team: _team,
        task: _task,
        algorithm: _algorithm,
        trackers,
        checkpointEvery: _every,
        keepCheckpoints: _keep,
        ...settings
      } = config
      await loadTrackers(trackers)
      const run = train({ ...settings, team: loaded.team, task, algorithm, signal })
      for (const { message } of WarningWatch.of(run.options).start()) onWarning(`warning: ${message}`)
      const plan = run.plan()!
      await run.checkPrompts()
      return { options: run.options, plan, judged: judgeMemory(plan, freeOf) }
    } finally {
      await loaded.dispose()
    }
  } finally {
    await task.dispose?.()
  }
}
