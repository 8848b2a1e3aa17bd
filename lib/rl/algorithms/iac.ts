import { withCritic } from './actor-critic.ts'

/**
 * Independent actor-critic: each agent has a critic over its own history; the advantage is the one-step error
 * r_t + γ·V(next) - V(now). With one agent it is plain actor-critic.
 *
 * @throws ConfigError listing every setting out of range
 */
export const iac = withCritic('iac', 'actor-critic with a critic per agent', 'own')
