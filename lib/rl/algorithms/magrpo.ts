import { withAnyBaseline } from './group-relative.ts'

/**
 * MAGRPO: every agent is moved by the mean-centred joint return of its group (equation 1), at sequence level
 * (equation 2). `advantage` picks another baseline. Liu et al., "LLM Collaboration with Multi-Agent Reinforcement Learning"
 * (AAAI 2026), Algorithm 1.
 *
 * All defaults are the paper's: no importance ratio (samples are used once, by the policy that made them), no KL, no
 * division by standard deviation or length. The options turn each of these on.
 *
 * @throws ConfigError listing every setting out of range
 */
export const magrpo = withAnyBaseline({
  name: 'magrpo',
  about: 'each return less the mean of its group',
})
