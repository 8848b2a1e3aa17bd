import { withCritic } from './actor-critic.ts'

/**
 * Multi-agent actor-critic: {@link iac} with one central critic that reads the prompts (type `q`: and completions) of
 * all agents.
 *
 * @throws ConfigError listing every setting out of range
 */
export const maac = withCritic('maac', 'actor-critic with one critic for the whole team', 'team')
