/** What the actor-critic algorithms share: they differ in whose values the critic estimates. */
import type { ConfigIssue } from '../../base/errors.ts'
import { actorCritic } from '../credit/actor-critic.ts'
import {
  type ActorCriticOptions,
  type Algorithm,
  actorCriticShape,
  groupShape,
  resolveClip,
  resolveCritic,
} from '../options/algorithm.ts'
import { type AlgorithmMaker, defineAlgorithm } from './define.ts'

/** A critic follows one path: its completions meet one to one. */
const fixed = {
  advantage: 'td',
  jointMode: 'align',
  crossCredit: 'mean',
  maxJointActions: groupShape.maxJointActions.parse(undefined),
} as const

/** An actor-critic algorithm. */
export function withCritic(name: string, about: string, scope: 'own' | 'team'): AlgorithmMaker<ActorCriticOptions> {
  return defineAlgorithm<ActorCriticOptions, typeof actorCriticShape>({
    name,
    about,
    shape: actorCriticShape,
    fixed,
    critic: { scope },
    resolve: (settings) => ({ ...settings, clip: resolveClip(settings), critic: resolveCritic(settings.critic) }),
    check: (algorithm) => checkActorCritic(algorithm, scope),
    credit: actorCritic,
  })
}

function checkActorCritic({ name, turns, groupSize, critic }: Algorithm, scope: 'own' | 'team'): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if (scope === 'team' && critic!.placement !== 'separate')
    issues.push({ path: 'critic.placement', message: `expected separate; received "${critic!.placement}"` })
  if (turns > 1 && groupSize > 1) {
    const message = `expected 1 for ${name} with ${turns} turns (a critic follows one path, not a tree); received ${groupSize}`
    issues.push({ path: 'groupSize', message })
  }
  return issues
}
