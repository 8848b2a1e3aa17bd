/** References and critics of a real team: what it was given, and what can be made over its models. */
import type { ConfigIssue } from '../../base/errors.ts'
import { seedOf } from '../../base/random.ts'
import { Policy } from '../../model/policy.ts'
import { algorithmEntry } from '../algorithms/registry.ts'
import { type AuxiliaryModels, type CriticBinding, noAuxiliaryModels } from '../backend/auxiliary-models.ts'
import type { Algorithm } from '../options/algorithm.ts'
import type { Agent, Team } from './team.ts'

/** Policies whose value head was made here: heads outlive a run, so that the next one goes on with them. */
const withHead = new WeakSet<Policy>()

/** What the algorithm needs, the team was not given, and cannot be made over the models it has. */
export function checkAuxiliaryModels(team: Team, algorithm: Algorithm): ConfigIssue[] {
  return [
    ...checkKinds(team),
    ...(algorithm.kl === null ? [] : team.agents.flatMap((agent) => checkReference(agent, team))),
    ...(algorithm.critic?.placement === 'separate' ? checkCritics(team, algorithm) : []),
  ]
}

/** What trains all weights of a model has them to itself: texts of adapters over it would train them, too. */
function checkKinds({ agents }: Team): ConfigIssue[] {
  return agents.flatMap(({ name, policy }) => {
    const whole = agents.find((other) => other.policy.kind === 'full' && other.policy.model === policy.model)
    if (policy.kind !== 'lora' || whole === undefined) return []
    const message =
      `expected a model that nobody trains whole below the adapter of '${name}', but all weights of it are those of ` +
      `'${whole.name}'; load the model twice`
    return [{ path: 'team.members', message }]
  })
}

function checkReference({ name, policy, reference }: Agent, team: Team): ConfigIssue[] {
  const path = 'team.references'
  if (policy.kind === 'base') return []
  if (reference === null) {
    if (policy.kind === 'lora') return []
    const message =
      `expected a frozen reference for '${name}', of which all weights are trained; give its member ` +
      'reference: Policy.base(a second Model of the same folder), or train adapters, whose reference is their bare base'
    return [{ path, message }]
  }
  if (team.policies.includes(reference) || (policy.kind === 'full' && reference.model === policy.model)) {
    return [{ path, message: `expected a frozen reference for '${name}' but received weights that the team trains` }]
  }
  const [own, other] = [policy.model.config.vocabSize, reference.model.config.vocabSize]
  if (own === other) return []
  return [{ path, message: `expected a reference with the ${own} tokens of '${name}' but received one with ${other}` }]
}

/** Whether one critic judges the whole team. */
const isCentralIn = (algorithm: Algorithm) => algorithmEntry(algorithm).critic?.scope === 'team'

function checkCritics(team: Team, algorithm: Algorithm): ConfigIssue[] {
  const path = 'team.critics'
  const { name } = algorithm
  const isCentral = isCentralIn(algorithm)
  const { agents, critics } = team
  const expected = isCentral ? 1 : agents.length
  const issues: ConfigIssue[] = []
  const refuse = (message: string, at = path) => issues.push({ path: at, message })
  if (critics.length > 0) {
    if (critics.length !== expected) {
      const what = isCentral ? 'one central critic' : 'a critic for each of the agents'
      refuse(`expected ${expected} for ${name} (${what}), received ${critics.length}`)
    }
    if (critics.some((critic) => critic.kind === 'base'))
      refuse('expected critics that can be trained (Policy.full or Policy.lora), received a frozen one')
    const both = agents.find(({ policy }) => critics.includes(policy))
    if (both) refuse(`expected critics of their own but received the policy of '${both.name}'; use placement 'shared'`)
  } else {
    const needing = agents.filter(({ policy }) => policy.kind !== 'base')
    const whole = (isCentral ? needing.slice(0, 1) : needing).find(({ policy }) => policy.kind === 'full')
    if (whole) {
      refuse(
        `expected ${expected} for ${name}, received none; critics are made by themselves only over the models of adapters, ` +
          `and all weights of '${whole.name}' are trained. Give Team.of critics over models of their own (team.critic in a configuration)` +
          (isCentral ? '' : ", or use placement 'shared'"),
      )
    }
  }
  if (isCentral && agents.some((agent) => agent.name === 'critic'))
    refuse(`expected another name than 'critic' for ${name}, whose critic is saved there`, 'team.agents')
  return issues
}

/**
 * References and critics as numbers of an engine over `policies`, to which they are added.
 *
 * - References: the one given, else the bare base of an adapter's model, which takes no memory of its own.
 * - Shared critics: a value head on each agent's policy.
 * - Separate critics: those given, else new adapters over the agents' models (one of the whole team: over the first trained agent's).
 *
 * What is made belongs to the team, and starts from `seed` alone.
 */
export async function prepareAuxiliaryModels(
  team: Team,
  algorithm: Algorithm,
  seed: number,
  policies: Policy[],
): Promise<AuxiliaryModels> {
  const auxiliary = noAuxiliaryModels(team.agents.length)
  if (algorithm.kl !== null) {
    for (const [agent, { policy, reference }] of team.agents.entries()) {
      if (policy.kind === 'base') continue
      auxiliary.references[agent] = numberOf(policies, reference ?? baseOf(team, policy))
    }
  }
  if (algorithm.critic !== null) auxiliary.critics = await prepareCritics(team, algorithm, seed, policies)
  return auxiliary
}

function baseOf(team: Team, policy: Policy): Policy {
  const known = team.extras.find((extra) => extra.kind === 'base' && extra.model === policy.model)
  return known ?? team.adopt(Policy.base(policy.model))
}

async function prepareCritics(
  team: Team,
  algorithm: Algorithm,
  seed: number,
  policies: Policy[],
): Promise<(CriticBinding | null)[]> {
  const { placement, hiddenSize } = algorithm.critic!
  const isCentral = isCentralIn(algorithm)
  if (placement === 'separate' && team.critics.length === 0) await makeCritics(team, isCentral, seed)
  const bindings: (CriticBinding | null)[] = []
  for (const [agent, { policy }] of team.agents.entries()) {
    if (policy.kind === 'base') {
      bindings.push(null)
      continue
    }
    const critic = placement === 'shared' ? policy : team.critics[isCentral ? 0 : agent]!
    const head = { hiddenSize: hiddenSize ?? undefined, seed: seedOf(seed, 'valueHead', agent) }
    if (!withHead.has(critic)) await critic.attachValueHead(head)
    withHead.add(critic)
    const sharesTokenizer = critic.model === policy.model || critic.model.source === policy.model.source
    bindings.push({ policy: numberOf(policies, critic), sharesTokenizer: sharesTokenizer && !isCentral })
  }
  return bindings
}

/** Adapters over the agents' models. A frozen agent gets one as well, so that critics are numbered like agents. */
async function makeCritics(team: Team, isCentral: boolean, seed: number): Promise<void> {
  const trained = team.agents.filter(({ policy }) => policy.kind !== 'base')
  const chosen = isCentral ? trained.slice(0, 1) : team.agents
  const made: Policy[] = []
  for (const [index, { policy }] of chosen.entries()) {
    made.push(team.adopt(await Policy.lora(policy.model, { seed: seedOf(seed, 'critic', index) })))
  }
  team.setCritics(made)
}

function numberOf(policies: Policy[], policy: Policy): number {
  const known = policies.indexOf(policy)
  return known < 0 ? policies.push(policy) - 1 : known
}
