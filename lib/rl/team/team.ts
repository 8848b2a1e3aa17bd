/** A team: named agents, each with a policy. */
import { join } from 'node:path'
import { expectInstance, expectList, expectTexts } from '../../base/arguments.ts'
import { type ErrorDetails, MagrpoError } from '../../base/errors.ts'
import { handle, handles, text } from '../../base/fields.ts'
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

  private constructor(agents: readonly Agent[], owned: readonly Policy[], critics: readonly Policy[]) {
    this.agents = agents
    this.owned = [...owned]
    this.ownCritics = critics
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
    return new Team(agents, [policy], [])
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
    const { critics } = resolve(teamSection, options, 'The options of Team.of')
    for (const critic of critics ?? []) expectInstance(critic, Policy, 'a critic of Team.of')
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
    return Team.build(parts, critics)
  }

  /** Makes the policies that are not given, one after the other; when one fails, those made before it are freed. */
  private static async build(parts: readonly AgentParts[], critics: readonly Policy[] = []): Promise<Team> {
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
    return new Team(agents, owned, critics)
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
   * `directory/<name>/critic`, and a central one to `directory/critic`.
   */
  async save(directory: string): Promise<void> {
    for (const [agent, { name, policy }] of this.agents.entries()) {
      const folder = join(directory, name)
      await policy.save(folder)
      if (this.critics.length === this.agents.length) await this.critics[agent]!.save(join(folder, 'critic'))
    }
    if (this.critics.length === 1 && this.agents.length > 1) await this.critics[0]!.save(join(directory, 'critic'))
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
