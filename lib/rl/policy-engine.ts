/** The {@link Engine} over real policies, and the players of a real team. */
import { accumulateBatch, generateBatch } from '../model/batch.ts'
import type { Policy } from '../model/policy.ts'
import type { Engine } from './engine.ts'
import type { Players } from './players.ts'
import type { Team } from './team.ts'

/**
 * An engine over distinct policies; number i is `policies[i]`.
 *
 * It adds nothing to `lib/model` but the numbers: batching over policies and models is done there.
 */
export function policyEngine(policies: readonly Policy[]): Engine {
  const withPolicy = <T extends { policy: number }>(entry: T) => ({ ...entry, policy: policies[entry.policy]! })
  return {
    generate: (requests, sampling, options) => generateBatch(requests.map(withPolicy), sampling, options),
    accumulate: (groups, options) => accumulateBatch(groups.map(withPolicy), options),
    step: (policy, options) => policies[policy]!.step(options),
    zeroGrad: (policy) => policies[policy]!.zeroGrad(),
  }
}

/** The players of a real team. */
export function playersOf(team: Team): Players {
  const policies = team.policies
  return {
    engine: policyEngine(policies),
    agents: team.agents.map(({ name, policy }) => ({
      name,
      policy: policies.indexOf(policy),
      kind: policy.kind,
      parameterCount: policy.parameterCount,
      source: policy.model.source,
    })),
    save: (directory) => team.save(directory),
  }
}
