/** A team: named agents, each with a policy. */
import { join } from 'node:path'
import { z } from 'zod'
import { expectInstance, expectList, expectTexts } from '../../base/arguments.ts'
import { type ErrorDetails, MagrpoError } from '../../base/errors.ts'
import { handle, handles, integer, text } from '../../base/fields.ts'
import { seedOf } from '../../base/random.ts'
import { type FieldsOf, resolve, section } from '../../base/validate.ts'
import { type LoraOptions, loraSection } from '../../model/lora-options.ts'
import { Model } from '../../model/model.ts'
import { Policy } from '../../model/policy.ts'

/** One member of a team. */
export interface Agent {
  readonly name: string
  readonly policy: Policy
  /** Frozen policy that KL is measured against; null for the default, the bare base of an adapter's model. */
  readonly reference: Policy | null
}

/** Settings of the adapters of {@link Team.adapters}; what starts at random is a function of `seed` and the agent's number. */
export type AdapterOptions = LoraOptions

/**
 * A member as {@link Team.of} takes it: a model, of which all weights are trained, or a policy of any kind.
 *
 * `reference` is a frozen policy over the same vocabulary, for algorithms with a KL penalty. An adapter has one without
 * it: the bare base of its model. A member whose weights are all trained needs one: `Policy.base` of a second `Model`.
 */
export type Member = ({ name: string; model: Model } | { name: string; policy: Policy }) & { reference?: Policy }

/** What an agent is made of: a policy that is given, or one that will be the team's own. */
type AgentParts = { name: string; reference?: Policy } & ({ policy: Policy } | { make(): Policy | Promise<Policy> })

/** What a team may be given besides its members. */
export interface TeamOptions {
  /**
   * Policies for separate critics (`iac`: one per agent, in order; `maac`: one), over models of their own or adapters; value
   * heads are put on them when a run begins. Default: a team of adapters makes further adapters.
   */
  critics?: readonly Policy[]
  /**
   * (n) For runs of several processes that hold some of the agents each: the column of processes that holds each agent, ascending from 0
   * (docs/scale.md). Models of other columns than this process's are loaded with `weights: false`, and no two columns share one. Default:
   * every process holds all agents.
   */
  columns?: readonly number[]
}

/**
 * Agents that are trained, evaluated and saved together. A policy that two agents name is shared by them.
 *
 * The team disposes the policies it made (those of {@link Team.adapters}, and of members given as models), never a model
 * or a policy that was given.
 */
export class Team {
  /** In the order of `task.agents`. */
  readonly agents: readonly Agent[]
  private readonly owned: Policy[]
  private ownCritics: readonly Policy[]
  private readonly agentColumns: readonly number[]

  private constructor(
    agents: readonly Agent[],
    owned: readonly Policy[],
    { critics = [], columns = agents.map(() => 0) }: TeamOptions = {},
  ) {
    this.agents = agents
    this.owned = [...owned]
    this.ownCritics = critics
    this.agentColumns = columns
  }

  /**
   * A team whose agents are LoRA adapters over one frozen base: its weights are held once, and all agents generate and
   * train in one batch.
   *
   * @throws MagrpoError `ERR_ARGUMENT` for a name that cannot be a folder's or comes twice; what `Policy.lora` throws
   */
  static async adapters(base: Model, names: readonly string[], options: AdapterOptions = {}): Promise<Team> {
    expectInstance(base, Model, 'base of Team.adapters')
    checkNames(names)
    const { seed, ...settings } = resolve(loraSection, options, 'The options of Team.adapters')
    const make = (agent: number) => () => Policy.lora(base, { ...settings, seed: seedOf(seed, 'agent', agent) })
    return Team.build(names.map((name, agent) => ({ name, make: make(agent) })))
  }

  /**
   * A team whose agents are one adapter over one base: each role has its own prompt, all learn the same weights.
   *
   * @throws as {@link Team.adapters}
   */
  static async shared(base: Model, names: readonly string[], options: AdapterOptions = {}): Promise<Team> {
    expectInstance(base, Model, 'base of Team.shared')
    checkNames(names)
    const { seed, ...settings } = resolve(loraSection, options, 'The options of Team.shared')
    const policy = await Policy.lora(base, { ...settings, seed: seedOf(seed, 'agent', 0) })
    const agents = names.map((name) => ({ name, policy, reference: null }))
    return new Team(agents, [policy])
  }

  /**
   * A team of given members, of different models if wanted. Two members may share a policy by naming the same one; the
   * same model twice is refused, because its weights could not belong to both.
   *
   * @throws MagrpoError `ERR_ARGUMENT` for bad names or a model that comes twice
   */
  static async of(members: readonly Member[], options: TeamOptions = {}): Promise<Team> {
    checkMembers(members)
    checkNames(members.map(({ name }) => name))
    const settings = resolve(teamSection, options, 'The options of Team.of')
    for (const critic of settings.critics ?? []) expectInstance(critic, Policy, 'a critic of Team.of')
    checkColumns(settings.columns, members.length)
    const whole = members.filter((member) => 'model' in member)
    for (const { name, model } of whole) {
      const other = whole.find((member) => member.model === model)!.name
      if (other !== name) {
        throw argumentError(
          `Expected a model of its own for each member but received the same for '${other}' and '${name}'. ` +
            'Load it twice, give both the same policy to share its weights, or use Team.adapters.',
          { agents: [other, name] },
        )
      }
    }
    const parts = members.map((member) =>
      'policy' in member ? member : { ...member, make: () => Policy.full(member.model) },
    )
    return Team.build(parts, settings)
  }

  /** Makes the policies that are not given, one after the other; when one fails, those made before it are freed. */
  private static async build(parts: readonly AgentParts[], options: TeamOptions = {}): Promise<Team> {
    const agents: Agent[] = []
    const owned: Policy[] = []
    try {
      for (const { name, reference = null, ...from } of parts) {
        const policy = 'policy' in from ? from.policy : await from.make()
        if ('make' in from) owned.push(policy)
        agents.push({ name, policy, reference })
      }
    } catch (error) {
      await Promise.all(owned.map((policy) => policy.dispose()))
      throw error
    }
    return new Team(agents, owned, options)
  }

  /** Names of the agents, in order. */
  get names(): string[] {
    return this.agents.map(({ name }) => name)
  }

  /** The distinct policies, in order of first use. */
  get policies(): Policy[] {
    return [...new Set(this.agents.map(({ policy }) => policy))]
  }

  /** Separate critics, if the team has any: given, or made by a run of `iac` or `maac`. One alone is a central critic. */
  get critics(): readonly Policy[] {
    return this.ownCritics
  }

  /**
   * Columns of processes that hold the agents, see {@link TeamOptions.columns}; 1 where every process holds all.
   *
   * @internal
   */
  get columns(): number {
    return Math.max(...this.agentColumns) + 1
  }

  /**
   * The column that holds a policy: an agent's, its reference's or a critic's.
   *
   * @internal
   */
  columnOf({ model }: Policy): number {
    const isOver = (policy: Policy | null) => policy?.model === model
    const agent = this.agents.findIndex(({ policy, reference }) => isOver(policy) || isOver(reference))
    return this.agentColumns[agent < 0 ? Math.max(0, this.critics.findIndex(isOver)) : agent]!
  }

  /**
   * What the team owns.
   *
   * @internal
   */
  get extras(): readonly Policy[] {
    return this.owned
  }

  /**
   * Lets the team dispose a policy.
   *
   * @internal
   */
  adopt(policy: Policy): Policy {
    this.owned.push(policy)
    return policy
  }

  /**
   * Sets the critics of a team that had none.
   *
   * @internal
   */
  setCritics(critics: readonly Policy[]): void {
    this.ownCritics = critics
  }

  /**
   * Writes each agent's weights to `directory/<name>`, in the layout of Hugging Face or PEFT, separate critics to
   * `directory/<name>/critic`, and a central one to `directory/critic`. Agents that another process holds are left out.
   */
  async save(directory: string): Promise<void> {
    const isCentral = this.critics.length === 1 && this.agents.length > 1
    const critics = this.critics.map((policy, agent) => ({
      policy,
      folder: isCentral ? join(directory, 'critic') : join(directory, this.names[agent]!, 'critic'),
    }))
    const agents = this.agents.map(({ name, policy }) => ({ policy, folder: join(directory, name) }))
    for (const { policy, folder } of [...agents, ...critics]) if (policy.model.isHere) await policy.save(folder)
  }

  /** Frees the policies the team made; idempotent. */
  async dispose(): Promise<void> {
    await Promise.all(this.owned.map((policy) => policy.dispose()))
  }

  /** What `await using` calls: `dispose()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}

const teamSection = section({
  critics: handles<Policy>('policies').optional(),
  columns: z.array(integer({ from: 0 })).optional(),
} satisfies FieldsOf<TeamOptions>)

const memberSection = section({
  name: text(),
  model: handle<Model>('a Model').optional(),
  policy: handle<Policy>('a Policy').optional(),
  reference: handle<Policy>('a Policy').optional(),
})

/** @throws ConfigError or MagrpoError `ERR_ARGUMENT` for members of another form */
function checkMembers(members: readonly Member[]): void {
  expectList(members, 'members of Team.of')
  for (const [index, member] of members.entries()) {
    const which = `member ${index} of Team.of`
    const { model, policy, reference } = resolve(memberSection, member, which)
    if ((model === undefined) === (policy === undefined))
      throw argumentError(`Expected either model or policy in ${which}.`, { member: index })
    if (model !== undefined) expectInstance(model, Model, `model of ${which}`)
    else expectInstance(policy, Policy, `policy of ${which}`)
    if (reference !== undefined) expectInstance(reference, Policy, `reference of ${which}`)
  }
}

/** @throws MagrpoError `ERR_ARGUMENT` unless there is one for each agent, ascending from 0 without a gap */
function checkColumns(columns: readonly number[] | undefined, agents: number): void {
  if (columns === undefined) return
  const isRising = columns.every((column, i) =>
    i === 0 ? column === 0 : column - columns[i - 1]! <= 1 && column >= columns[i - 1]!,
  )
  if (isRising && columns.length === agents) return
  throw argumentError(
    `Expected a column for each of ${agents} agents, ascending from 0 without a gap, in columns of Team.of but received [${columns.join(', ')}].`,
    {},
  )
}

function checkNames(names: readonly string[]): void {
  expectTexts(names, 'names of the agents')
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
