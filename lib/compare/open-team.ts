/** Teams of a comparison's methods: from models, from a run folder, or trained first. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { loadConfig, type RunConfig } from '../config/load.ts'
import type { TeamConfig } from '../config/schema.ts'
import type { RunSink } from '../rl/types/sink.ts'
import { runFiles } from '../run/run-folder.ts'
import { type LoadedTeam, loadTeam, modelSources } from '../session/load-team.ts'
import { prepareRun } from '../session/prepare-run.ts'
import { singleAgent } from '../tasks/baselines/rounds.ts'
import type { Task } from '../tasks/task/types.ts'
import type { MethodConfig } from './config.ts'
import { singleTaskConfig } from './single-task-module.ts'

/** What opening a team needs to know and whom it tells. */
export interface OpenTeamContext {
  task: Task
  seeds: readonly number[]
  /** Folder that runs of trainings are recorded in. */
  runsDir: string
  signal?: AbortSignal
  onProgress(line: string): void
  log(message: string): void
}

/** Weights that are ready to be loaded. Equal keys are the same team. */
interface FoundTeam {
  key: string
  team: TeamConfig
  /** The agents the team was made with; undefined for bare models. */
  agents?: readonly string[] | undefined
  weights?: string | undefined
  /** Turns of the episodes it was trained on. */
  turns: number
  about: string
}

/**
 * Finds a method's weights for one seed, training the team first where the method says so.
 *
 * @throws MagrpoError `ERR_RUN` for a run folder that is not there or has no such weights; what training throws
 */
export async function findTeam(method: MethodConfig, seed: number, context: OpenTeamContext): Promise<FoundTeam> {
  const { source, name } = method
  if (source.from === 'models') return { key: name, team: source.team, turns: 1, about: describeModels(source.team) }
  if (source.from === 'run') {
    const place = context.seeds.indexOf(seed)
    return teamOfRun(source.runs.length === 1 ? source.runs[0]! : source.runs[place]!, source.weights)
  }
  const { used, runDir } = placeOfTraining(method, seed, context)
  if (!existsSync(join(runDir, runFiles.result))) await trainTeam(method, source.config, used, runDir, context)
  return { ...(await teamOfRun(runDir, source.weights)), about: `trained here (${source.weights})` }
}

/** The seed that a method is trained with where a seed is played, and the folder of that run. */
function placeOfTraining({ source, name }: MethodConfig, seed: number, { seeds, runsDir }: OpenTeamContext) {
  const used = source.from === 'training' && source.retrain ? seed : seeds[0]!
  return { used, runDir: join(runsDir, `${name.replace(/[^\w.-]+/g, '-')}-seed${used}`) }
}

/** Takes part in the trainings of a comparison that rank 0 plays, in its order. */
export async function followTrainings(methods: readonly MethodConfig[], context: OpenTeamContext): Promise<void> {
  const trained = new Set<string>()
  for (const method of methods)
    for (const seed of context.seeds) {
      const { used, runDir } = placeOfTraining(method, seed, context)
      if (method.source.from !== 'training' || trained.has(runDir)) continue
      trained.add(runDir)
      await trainTeam(method, method.source.config, used, runDir, context)
    }
}

const describeModels = ({ model, models }: TeamConfig) =>
  model ?? [...new Set(Array.isArray(models) ? models : Object.values(models ?? {}))].join(', ')

async function teamOfRun(run: string, which: 'final' | 'best' | 'initial'): Promise<FoundTeam> {
  const file = join(run, runFiles.config)
  if (!existsSync(file))
    throw new MagrpoError('ERR_RUN', `There is no run folder ${run}: it has no ${runFiles.config}.`, {
      details: { path: run },
    })
  const config = await loadConfig(file)
  const weights = which === 'initial' ? undefined : join(run, which)
  if (weights !== undefined && !existsSync(weights))
    throw new MagrpoError('ERR_RUN', `The run folder ${run} has no ${which}/: the run did not get that far.`, {
      details: { path: weights },
    })
  const { team, algorithm } = config
  const about = `${run} (${which})`
  return { key: about, team, agents: team.agents, weights, turns: algorithm.turns ?? 1, about }
}

async function trainTeam(
  method: MethodConfig,
  config: RunConfig,
  seed: number,
  runDir: string,
  { signal, onProgress, log }: OpenTeamContext,
): Promise<void> {
  const task =
    method.play === 'single'
      ? singleTaskConfig({ task: config.task, missingDelimiter: method.missingDelimiter })
      : config.task
  const title = `${method.name}, seed ${seed}`
  let steps = 0
  let told = 0
  const progress: RunSink = {
    onStart: (options) => {
      steps = options.steps
      onProgress(`${title}: training, ${steps} steps`)
    },
    onStep: ({ index, metrics }) => {
      if (index < steps && index - told < steps / 10) return
      told = index
      onProgress(`${title}: step ${index} of ${steps}, reward ${metrics['reward/mean']?.toFixed(3)}`)
    },
    onWarning: ({ message }) => log(`${title}: ${message}`),
  }
  const prepared = await prepareRun({ ...config, seed, task, runDir }, { sinks: [progress], signal, onWarning: log })
  try {
    await prepared.run.result
  } finally {
    await prepared.dispose()
  }
}

/** Loads what {@link findTeam} found, as the players of a method. */
export function loadTeamOf(
  method: MethodConfig,
  found: FoundTeam,
  { task, signal, onProgress, log }: OpenTeamContext,
): Promise<LoadedTeam> {
  const { weights } = found
  const tell = (what: string) => onProgress(`${method.name}: ${what}`)
  const options = { signal, weights, onProgress: tell, onWarning: log }
  if (method.play !== 'single') return loadTeam(found.team, task.agents, 0, options)
  const names = found.agents ?? task.agents
  const agent = method.agent ?? (names.length === 1 ? names[0]! : singleAgent(task))
  const place = names.indexOf(agent)
  if (place < 0)
    throw new MagrpoError(
      'ERR_RUN',
      `Expected one of ${names.join(', ')} as the agent of method ${JSON.stringify(method.name)} but received ${agent}.`,
      { details: { method: method.name, agent } },
    )
  const { agents: _agents, models: _models, ...rest } = found.team
  const model = modelSources(found.team, names)[place]!
  return loadTeam({ ...rest, model }, [agent], 0, options)
}
