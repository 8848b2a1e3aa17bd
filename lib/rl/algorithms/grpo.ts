import { withAnyBaseline } from './group-relative.ts'

/**
 * One agent trained by its own group (Shao et al. 2024, with the mean only as in Dr. GRPO, Liu et al. 2025).
 *
 * @throws ConfigError listing every setting out of range
 */
export const grpo = withAnyBaseline({
  name: 'grpo',
  about: 'one agent, each return less the mean of its group',
  maxAgents: 1,
})
