/** A team: named agents, each with a policy. */
import { join } from 'node:path'
import { type ErrorDetails, MagrpoError } from '../errors.ts'
import type { Model } from '../model/model.ts'
import { type LoraOptions, Policy } from '../model/policy.ts'

/** One member of a team. */
export interface Agent {
  readonly name: string
  readonly policy: Policy
}

/** Settings of the adapters of {@link Team.adapters}; agent i's is drawn from `seed + i`. */
export type AdapterOptions = LoraOptions

/** A member as {@link Team.of} takes it: a model, of which all weights are trained, or a policy of any kind. */
export type Member = { name: string; model: Model } | { name: string; policy: Policy }

/**
 * Agents that are trained, evaluated and saved together. A policy that two agents name is shared by them.
 *
 * The team disposes the policies it made (those of {@link Team.adapters}, and of members given as models), never a model
 * or a policy that was given.
 */
export class Team {
  /** In the order of `task.agents`. */
  readonly agents: readonly Agent[]
  private readonly owned: readonly Policy[]

  private constructor(agents: readonly Agent[], owned: readonly Policy[]) {
    this.agents = agents
    this.owned = owned
  }

  /**
   * A team whose agents are LoRA adapters over one frozen base: its weights are held once, and all agents generate and
   * train in one batch.
   *
   * @throws MagrpoError `ERR_ARGUMENT` for a name that cannot be a folder's or comes twice; what `Policy.lora` throws
   */
  static async adapters(base: Model, names: readonly string[], options: AdapterOptions = {}): Promise<Team> {
    checkNames(names)
    const { seed = 0, ...settings } = options
    return Team.build(names, (agent) => Policy.lora(base, { ...settings, seed: (seed + agent) >>> 0 }))
  }

  /**
   * A team of given members, of different models if wanted. Two members may share a policy by naming the same one; the
   * same model twice is refused, because its weights could not belong to both.
   *
   * @throws MagrpoError `ERR_ARGUMENT` for bad names or a model that comes twice
   */
  static async of(members: readonly Member[]): Promise<Team> {
    checkNames(members.map(({ name }) => name))
    const models = new Map<Model, string>()
    for (const member of members) {
      if (!('model' in member)) continue
      const other = models.get(member.model)
      if (other !== undefined) {
        throw argumentError(
          `Expected a model of its own for each member but received the same for '${other}' and '${member.name}'. ` +
            'Load it twice, give both the same policy to share its weights, or use Team.adapters.',
          { agents: [other, member.name] },
        )
      }
      models.set(member.model, member.name)
    }
    const names = members.map(({ name }) => name)
    return Team.build(
      names,
      (agent) => {
        const member = members[agent]!
        return 'policy' in member ? member.policy : Policy.full(member.model)
      },
      (agent) => 'model' in members[agent]!,
    )
  }

  /** Makes the policies one after the other; when one fails, those made before it are freed. */
  private static async build(
    names: readonly string[],
    make: (agent: number) => Policy | Promise<Policy>,
    isOwned: (agent: number) => boolean = () => true,
  ): Promise<Team> {
    const agents: Agent[] = []
    const owned: Policy[] = []
    try {
      for (const [agent, name] of names.entries()) {
        const policy = await make(agent)
        if (isOwned(agent)) owned.push(policy)
        agents.push({ name, policy })
      }
    } catch (error) {
      await Promise.all(owned.map((policy) => policy.dispose()))
      throw error
    }
    return new Team(agents, owned)
  }

  /** Names of the agents, in order. */
  get names(): string[] {
    return this.agents.map(({ name }) => name)
  }

  /** The distinct policies, in order of first use. */
  get policies(): Policy[] {
    return [...new Set(this.agents.map(({ policy }) => policy))]
  }

  /** Writes each agent's weights to `directory/<name>`, in the layout of Hugging Face or PEFT. */
  async save(directory: string): Promise<void> {
    for (const { name, policy } of this.agents) await policy.save(join(directory, name))
  }

  /** Frees the policies the team made; idempotent. */
  async dispose(): Promise<void> {
    await Promise.all(this.owned.map((policy) => policy.dispose()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}

function checkNames(names: readonly string[]): void {
  if (names.length === 0) throw argumentError('Expected at least one agent but received none.', {})
  for (const [index, name] of names.entries()) {
    if (!/^[\p{L}\p{N}_][\p{L}\p{N}_. -]*$/u.test(name)) {
      throw argumentError(
        `Expected an agent's name of letters, digits, _, -, . and spaces (it names a folder) but received '${name}'.`,
        { agent: index },
      )
    }
    if (names.indexOf(name) !== index) {
      throw argumentError(`Expected distinct names of agents but received '${name}' twice.`, { agent: index })
    }
  }
}

function argumentError(message: string, details: ErrorDetails): MagrpoError {
  return new MagrpoError('ERR_ARGUMENT', message, { details })
}
