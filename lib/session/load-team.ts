import { join } from 'node:path'
import { ConfigError } from '../base/errors.ts'
import type { RawConfig, TeamConfig } from '../config/schema.ts'
import type { DownloadEvent } from '../hub/download.ts'
import type { Model } from '../model/model.ts'
import { modelFolder } from '../model/names.ts'
import type { Policy } from '../model/policy.ts'
import type { Algorithm } from '../rl/options/algorithm.ts'
import type { Member, Team } from '../rl/team/team.ts'

/** A team and the models below it. */
export interface LoadedTeam {
  team: Team
  models: Model[]
  /** Frees the team, then the models. */
  dispose(): Promise<void>
}

/** What {@link loadTeam} may be told. */
export interface LoadTeamOptions {
  /** Folder with trained weights, one folder an agent (`final/` or `best/` of a run); the team is then frozen. */
  weights?: string
  /** What the team is to be trained with: brings the frozen references and separate critics it needs. */
  algorithm?: Algorithm
  signal?: AbortSignal
  /** Commits of models of the hub, by their names in the configuration. Default: what the name says, else `main`. */
  commits?: Readonly<Record<string, string>>
  /** Called before each model is loaded. */
  onModel?(source: string): void
  /** Told of a model that has to be downloaded, before it is. */
  onDownload?(event: DownloadEvent): void
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
  const { adapter, device, dtype } = config
  const isTrainedWhole = weights !== undefined && adapter === 'full'
  const sources = isTrainedWhole ? names.map((name) => join(weights, name)) : modelSources(config, names)
  const folders = sources.map((source) => modelFolder(source))
  const { Model } = await import('../model/model.ts')
  const { Policy } = await import('../model/policy.ts')
  const { Team } = await import('../rl/team/team.ts')
  const models: Model[] = []
  const open = async (source: string, folder: string): Promise<Model> => {
    options.onModel?.(source)
    const { signal, onDownload, commits = {} } = options
    const settings = { device: device as 'auto', dtype, signal, onDownload, revision: commits[source] }
    const model = await Model.load(folder, settings)
    models.push(model)
    return model
  }
  const owned: { dispose(): Promise<void> }[] = []
  const dispose = async () => {
    for (const thing of [...owned.reverse(), ...models]) await thing.dispose()
  }
  const own = (policy: Policy): Policy => {
    owned.push(policy)
    return policy
  }
  const bases = new Map<string, Model>()
  const makePolicy = async (agent: number): Promise<Policy> => {
    const [source, folder] = [sources[agent]!, folders[agent]!]
    if (adapter === 'full') {
      const model = await open(source, folder)
      return own(isTrainedWhole ? Policy.base(model) : await Policy.full(model))
    }
    const base = bases.get(folder) ?? (await open(source, folder))
    bases.set(folder, base)
    return own(
      weights === undefined
        ? await Policy.lora(base, { ...adapter, seed: (seed + agent) >>> 0 })
        : await Policy.fromAdapter(base, join(weights, names[agent]!)),
    )
  }
  const makeReference = async (agent: number) =>
    adapter === 'full' && options.algorithm?.kl ? Policy.base(await open(sources[agent]!, folders[agent]!)) : undefined
  const makeCritics = async (): Promise<Policy[]> => {
    const { critic, algorithm } = { critic: config.critic, algorithm: options.algorithm }
    if (critic === undefined || algorithm === undefined) return []
    if (algorithm.critic?.placement !== 'separate')
      throw teamError(
        'team.critic',
        `expected an algorithm with a separate critic, such as iac, but it is ${algorithm.name}`,
      )
    const folder = modelFolder(critic)
    const critics: Policy[] = []
    let base: Model | undefined
    const { algorithmEntry } = await import('../rl/algorithms/registry.ts')
    const isCentral = algorithmEntry(algorithm).critic?.scope === 'team'
    for (let index = 0; index < (isCentral ? 1 : names.length); index++) {
      if (adapter === 'full') critics.push(own(await Policy.full(await open(critic, folder))))
      else {
        base ??= bases.get(folder) ?? (await open(critic, folder))
        critics.push(own(await Policy.lora(base, { ...adapter, seed: (seed + names.length + index) >>> 0 })))
      }
    }
    return critics
  }
  try {
    const members: Member[] = []
    const isShared = config.sharedWeights === true && weights === undefined
    for (const [agent, name] of names.entries()) {
      if (isShared && agent > 0) members.push({ ...members[0]!, name })
      else members.push({ name, policy: await makePolicy(agent), reference: await makeReference(agent) })
    }
    const team = await Team.of(members, { critics: await makeCritics() })
    owned.push(team)
    return { team, models, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
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
