import { join } from 'node:path'
import { Disposer } from '../base/disposer.ts'
import { ConfigError } from '../base/errors.ts'
import { seedOf } from '../base/random.ts'
import type { RawConfig, TeamConfig } from '../config/schema.ts'
import { Model } from '../model/model.ts'
import { modelFolder } from '../model/names.ts'
import { Policy } from '../model/policy.ts'
import { ranksOfProcess } from '../ranks/process-ranks.ts'
import type { Algorithm } from '../rl/options/algorithm.ts'
import { type Member, Team } from '../rl/team/team.ts'
import { type TeamColumns, teamColumns } from '../rl/team/team-columns.ts'
import { downloadLines } from '../ui/download-lines.ts'
import { type TeamDevices, teamDevices } from './team-devices.ts'

/** A team and the models below it. */
export interface LoadedTeam {
  team: Team
  models: Model[]
  /** Frees the team, its policies and the models. */
  dispose(): Promise<void>
}

/** What {@link loadTeam} may be told. */
export interface LoadTeamOptions {
  /** Folder with trained weights, one folder per agent (`final/` or `best/` of a run); the team is then frozen. */
  weights?: string
  /** What the team is to be trained with: brings the frozen references and separate critics it needs. */
  algorithm?: Algorithm
  /** Where this process stands among those of the run. Default: as its launcher says. */
  processes?: { rank: number; size: number }
  signal?: AbortSignal
  /** Commits of models of the hub, by their names in the configuration. Default: what the name says, else `main`. */
  commits?: Readonly<Record<string, string>>
  /** Called with what is being loaded, for people. */
  onProgress?(what: string): void
  /** Takes what everybody should know, such as that a model is about to be downloaded. */
  onWarning?(message: string): void
}

/** Where a model of the team is. */
interface ModelPlace {
  device: string
  /** Of the processes that hold it. */
  column: number
}

/** A team while it is loaded. */
interface Loading {
  config: TeamConfig
  /** (n) */
  names: readonly string[]
  /** (n) each agent's model, as the configuration names it */
  sources: readonly string[]
  seed: RawConfig['seed']
  options: LoadTeamOptions
  devices: TeamDevices
  columns: TeamColumns
  models: Model[]
  /** Models under adapters, by folder, device and column. */
  bases: Map<string, Model>
  disposer: Disposer
}

/**
 * Loads the models of a configuration and makes its team. With an adapter, agents of the same model share it; with `full` each
 * agent gets a copy of its own, and another one as frozen reference if the algorithm has a KL penalty. With `sharedWeights` all
 * agents have the same policy. This is where the native part is loaded.
 *
 * @param names the task's agents, in order
 * @throws ConfigError if models and agents do not fit; what loading a model throws
 */
export async function loadTeam(
  config: TeamConfig,
  names: readonly string[],
  seed: RawConfig['seed'],
  options: LoadTeamOptions = {},
): Promise<LoadedTeam> {
  const { weights } = options
  const devices = teamDevices(config, names)
  const columns = teamColumns(
    config,
    names.length,
    options.processes ?? ranksOfProcess()?.place ?? { rank: 0, size: 1 },
  )
  // Trained as a whole, each agent's weights are a model of their own.
  const isWhole = weights !== undefined && config.adapter === 'full'
  const sources = isWhole ? names.map((name) => join(weights, name)) : modelSources(config, names)
  // A name that stands for nothing is met before anything is loaded.
  for (const source of sources) modelFolder(source)
  return Disposer.guard(async (disposer) => {
    const models: Model[] = []
    const loading: Loading = {
      config,
      names,
      sources,
      seed,
      options,
      devices,
      columns,
      models,
      bases: new Map(),
      disposer,
    }
    const members = await makeMembers(loading)
    const team = disposer.use(await Team.of(members, { critics: await makeCritics(loading), columns: columns.agents }))
    return { team, models, dispose: () => disposer.dispose() }
  })
}

async function makeMembers(loading: Loading): Promise<Member[]> {
  const { config, names, options } = loading
  const isShared = config.sharedWeights === true && options.weights === undefined
  const members: Member[] = []
  for (const [agent, name] of names.entries()) {
    if (isShared && agent > 0) members.push({ ...members[0]!, name })
    else
      members.push({ name, policy: await makePolicy(loading, agent), reference: await makeReference(loading, agent) })
  }
  return members
}

async function makePolicy(loading: Loading, agent: number): Promise<Policy> {
  const { config, names, sources, options, devices, columns, disposer } = loading
  const { weights } = options
  const source = sources[agent]!
  const place = { device: devices.agent(agent), column: columns.agents[agent]! }
  if (weights === undefined) return newPolicy(loading, source, 'agent', agent)
  return disposer.use(
    config.adapter === 'full'
      ? Policy.base(await openModel(loading, source, place))
      : await Policy.fromAdapter(await openBase(loading, source, place), join(weights, names[agent]!)),
  )
}

/** A policy that nothing has trained yet, for agent or critic number `index`. */
async function newPolicy(loading: Loading, source: string, role: 'agent' | 'critic', index: number): Promise<Policy> {
  const { config, seed, devices, columns, disposer } = loading
  const place = { device: devices[role](index), column: columns.agents[index]! }
  return disposer.use(
    config.adapter === 'full'
      ? await Policy.full(await openModel(loading, source, place))
      : await Policy.lora(await openBase(loading, source, place), {
          ...config.adapter,
          seed: seedOf(seed, role, index),
        }),
  )
}

async function makeReference(loading: Loading, agent: number): Promise<Policy | undefined> {
  const { config, sources, options, devices, columns } = loading
  if (config.adapter !== 'full' || !options.algorithm?.kl) return undefined
  const place = { device: devices.reference(agent), column: columns.agents[agent]! }
  return Policy.base(await openModel(loading, sources[agent]!, place))
}

async function makeCritics(loading: Loading): Promise<Policy[]> {
  const { config, names, options } = loading
  const { critic } = config
  const { algorithm } = options
  if (critic === undefined || algorithm === undefined) return []
  if (algorithm.critic?.placement !== 'separate') {
    const message = `expected an algorithm with a separate critic, such as iac, but it is ${algorithm.name}`
    throw teamError('team.critic', message)
  }
  const critics: Policy[] = []
  const { algorithmEntry } = await import('../rl/algorithms/registry.ts')
  const count = algorithmEntry(algorithm).critic?.scope === 'team' ? 1 : names.length
  for (let index = 0; index < count; index++) critics.push(await newPolicy(loading, critic, 'critic', index))
  return critics
}

/** The model under adapters, which all adapters of it share. */
async function openBase(loading: Loading, name: string, place: ModelPlace): Promise<Model> {
  const key = `${place.column} ${place.device} ${modelFolder(name)}`
  const base = loading.bases.get(key) ?? (await openModel(loading, name, place))
  loading.bases.set(key, base)
  return base
}

/** A copy of a model; of another column only its shape. */
async function openModel(loading: Loading, name: string, { device, column }: ModelPlace): Promise<Model> {
  const { config, options, columns, models, disposer } = loading
  const { signal, commits = {}, onProgress, onWarning = () => {} } = options
  const weights = column === columns.own
  if (weights) onProgress?.(`loading ${name}`)
  const model = await Model.load(modelFolder(name), {
    weights,
    device: device as 'auto',
    dtype: config.dtype,
    signal,
    onDownload: downloadLines(onWarning, onProgress),
    revision: commits[name],
  })
  models.push(model)
  return disposer.use(model)
}

function teamError(path: string, message: string): ConfigError {
  return new ConfigError([{ path, message }], 'The team')
}

/** The model of each agent, by `model` or `models`. */
export function modelSources({ agents, model, models, sharedWeights }: TeamConfig, names: readonly string[]): string[] {
  const fail = (path: string, message: string): never => {
    throw teamError(path, message)
  }
  const list = (values: readonly string[]) => values.map((value) => JSON.stringify(value)).join(', ')
  if (agents && (agents.length !== names.length || agents.some((name, index) => name !== names[index])))
    fail('team.agents', `expected the task's agents, ${list(names)}, but received ${list(agents)}`)
  if (sharedWeights === true && models !== undefined)
    fail('team.models', 'expected one model (team.model) for agents with sharedWeights')
  if (models === undefined) return names.map(() => model ?? fail('team.model', 'missing'))
  if (Array.isArray(models)) {
    if (models.length === names.length) return models
    return fail(
      'team.models',
      `expected ${names.length}, one for each of ${list(names)}, but received ${models.length}`,
    )
  }
  const unknown = Object.keys(models).find((name) => !names.includes(name))
  if (unknown !== undefined) fail(`team.models.${unknown}`, `no such agent; the task has ${list(names)}`)
  return names.map((name) => models[name] ?? fail(`team.models.${name}`, 'missing; every agent needs a model'))
}
