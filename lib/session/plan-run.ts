import type { RunConfig } from '../config/load.ts'
import { ranksOfProcess } from '../ranks/process-ranks.ts'
import { compareWithFree, type FreeOf, type MemoryVerdict } from '../rl/memory/fit.ts'
import type { MemoryPlan } from '../rl/memory/plan.ts'
import { WarningWatch } from '../rl/report/warnings.ts'
import { plannedRanks } from '../rl/team/policy-engine.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import { assemble } from './assemble.ts'
import { loadParts, trainSettings } from './load-parts.ts'
import type { PrepareRunOptions } from './prepare-run.ts'

/** A run that was made ready and not begun. */
interface PlannedRun {
  options: ResolvedTrainOptions
  plan: MemoryPlan
  /** One per device. */
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
  // A run that is planned stands for one that is begun with so many processes.
  const { processes: size = 1 } = config
  const processes = size > 1 && ranksOfProcess() === null ? { rank: 0, size } : undefined
  const { task, loaded, algorithm, dispose } = await loadParts(config, { processes, signal, onProgress, onWarning })
  try {
    const ranks = processes && plannedRanks(size, loaded.team.columns)
    const { run } = assemble({ ...trainSettings(config), ranks, team: loaded.team, task, algorithm, signal, onWarning })
    for (const { message } of new WarningWatch(run.options).start()) onWarning(`warning: ${message}`)
    const plan = run.plan()!
    for (const { message } of await run.checkPrompts()) onWarning(`warning: ${message}`)
    return { options: run.options, plan, judged: compareWithFree(plan, freeOf) }
  } finally {
    await dispose()
  }
}
