import { join } from 'node:path'
import type { RawConfig, TeamConfig } from '../config/schema.ts'
import { ConfigError } from '../errors.ts'
import type { Model } from '../model/model.ts'
import type { Member, Team } from '../rl/team.ts'
import { modelFolder } from './model-source.ts'

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
  signal?: AbortSignal
  /** Called before each model is loaded. */
  onModel?(source: string): void
}

/**
 * Loads the models of a configuration and makes its team. With an adapter, agents of the same model share it; with `full` each
 * agent gets a copy of its own. This is where the native part is loaded.
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
  const { Team } = await import('../rl/team.ts')
  const models: Model[] = []
  const open = async (agent: number): Promise<Model> => {
    options.onModel?.(sources[agent]!)
    const settings = { device: device as 'auto', dtype, signal: options.signal }
    const model = await Model.load(folders[agent]!, settings)
    models.push(model)
    return model
  }
  const owned: { dispose(): Promise<void> }[] = []
  const dispose = async () => {
    for (const thing of [...owned.reverse(), ...models]) await thing.dispose()
  }
  try {
    const members: Member[] = []
    const bases = new Map<string, Model>()
    for (const [agent, name] of names.entries()) {
      if (adapter === 'full') {
        const model = await open(agent)
        members.push(isTrainedWhole ? { name, policy: Policy.base(model) } : { name, model })
        continue
      }
      const base = bases.get(folders[agent]!) ?? (await open(agent))
      bases.set(folders[agent]!, base)
      const policy =
        weights === undefined
          ? await Policy.lora(base, { ...adapter, seed: (seed + agent) >>> 0 })
          : await Policy.fromAdapter(base, join(weights, name))
      owned.push(policy)
      members.push({ name, policy })
    }
    const team = await Team.of(members)
    owned.push(team)
    return { team, models, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** The model of each agent, by `model` or `models`. */
export function modelSources({ agents, model, models }: TeamConfig, names: readonly string[]): string[] {
  const fail = (path: string, message: string): never => {
    throw new ConfigError([{ path, message }], 'The team')
  }
  const list = (values: readonly string[]) => values.map((value) => JSON.stringify(value)).join(', ')
  if (agents && (agents.length !== names.length || agents.some((name, index) => name !== names[index])))
    fail('team.agents', `expected the task's agents, ${list(names)}, but received ${list(agents)}`)
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
