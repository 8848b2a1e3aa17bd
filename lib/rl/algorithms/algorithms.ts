/**
 * The algorithms: plain settings of one trainer. Source: Liu et al., "LLM Collaboration with Multi-Agent Reinforcement
 * Learning" (AAAI 2026), Algorithm 1, equations 1 and 2, and its published code for the rest of the family.
 *
 * All defaults are the paper's: no importance ratio (samples are used once, by the policy that made them), no KL, no
 * division by standard deviation or length. The options turn each of these on.
 */
import { ConfigError, type ConfigIssue } from '../../base/errors.ts'
import type { AdvantageMode } from '../options/algorithm.ts'
import {
  type ActorCriticOptions,
  type Algorithm,
  type AlgorithmOptions,
  type Critic,
  type CriticOptions,
  checkAlgorithm,
  type PolicyLossOptions,
} from '../options/algorithm.ts'

export type { ActorCriticOptions, Algorithm, AlgorithmOptions } from '../options/algorithm.ts'

/**
 * MAGRPO: every agent is moved by the mean-centred joint return of its group (equation 1), at sequence level
 * (equation 2). `advantage` picks another baseline.
 *
 * @throws ConfigError listing every setting out of range
 */
export function magrpo(options: AlgorithmOptions & { advantage?: AdvantageMode } = {}): Algorithm {
  return groupRelative('magrpo', options.advantage ?? 'mean', options)
}

/** {@link magrpo} without a baseline: the return itself (REINFORCE). */
export function mareinforce(options: AlgorithmOptions = {}): Algorithm {
  return groupRelative('mareinforce', 'raw', options)
}

/** {@link magrpo} with the mean of the group's other members as baseline (RLOO, Ahmadian et al. 2024). */
export function marloo(options: AlgorithmOptions = {}): Algorithm {
  return groupRelative('marloo', 'rloo', options)
}

/** {@link magrpo} with the group's best return as baseline. */
export function maremax(options: AlgorithmOptions = {}): Algorithm {
  return groupRelative('maremax', 'max', options)
}

/** One agent trained by its own group (Shao et al. 2024, with the mean only as in Dr. GRPO, Liu et al. 2025). */
export function grpo(options: AlgorithmOptions & { advantage?: AdvantageMode } = {}): Algorithm {
  return groupRelative('grpo', options.advantage ?? 'mean', options)
}

/**
 * Independent actor-critic: each agent has a critic over its own history; the advantage is the one-step error
 * r_t + γ·V(next) - V(now). With one agent it is plain actor-critic.
 *
 * @throws ConfigError listing every setting out of range
 */
export function iac(options: ActorCriticOptions = {}): Algorithm {
  return actorCritic('iac', options)
}

/**
 * Multi-agent actor-critic: {@link iac} with one central critic that reads the prompts (type `q`: and completions) of
 * all agents.
 *
 * @throws ConfigError listing every setting out of range
 */
export function maac(options: ActorCriticOptions = {}): Algorithm {
  return actorCritic('maac', options)
}

/**
 * An algorithm by its name, with settings that no type has matched to it: those of a configuration file.
 *
 * @throws ConfigError listing every setting that is out of range or that the algorithm does not have
 */
export function algorithmOf(name: Algorithm['name'], settings: AnySettings = {}): Algorithm {
  const { advantage, critic, ...common } = settings
  if (name === 'iac' || name === 'maac') return actorCritic(name, settings)
  const own = { magrpo: 'mean', mareinforce: 'raw', marloo: 'rloo', maremax: 'max', grpo: 'mean' } as const
  const isOpen = name === 'magrpo' || name === 'grpo'
  if (!isOpen && advantage !== undefined && advantage !== own[name]) {
    const message = `${name} is '${own[name]}' by definition, received '${advantage}'; leave it out, or use magrpo`
    throw new ConfigError([{ path: 'advantage', message }], `The algorithm ${name}`)
  }
  return groupRelative(name, isOpen ? (advantage ?? own[name]) : own[name], { ...common, ...(critic && { critic }) })
}

/** Settings of all algorithms together. */
export type AnySettings = AlgorithmOptions & ActorCriticOptions & { advantage?: Algorithm['advantage'] }

function groupRelative(
  name: Algorithm['name'],
  advantage: Algorithm['advantage'],
  options: AlgorithmOptions,
): Algorithm {
  const algorithm: Algorithm = {
    name,
    advantage,
    groupSize: options.groupSize ?? 4,
    jointMode: options.jointMode ?? 'align',
    maxJointActions: options.maxJointActions ?? 4096,
    scaleByStd: options.scaleByStd ?? false,
    crossCredit: options.crossCredit ?? 'mean',
    ...policyLoss(options),
    critic: null,
  }
  return checked(algorithm, fixedIssues(options, algorithm, ['critic']))
}

function actorCritic(name: Algorithm['name'], options: ActorCriticOptions): Algorithm {
  const algorithm: Algorithm = {
    name,
    advantage: 'td',
    groupSize: options.groupSize ?? 1,
    jointMode: 'align',
    maxJointActions: 4096,
    scaleByStd: options.scaleByStd ?? true,
    crossCredit: 'mean',
    ...policyLoss(options),
    critic: resolveCritic(options.critic ?? {}),
  }
  return checked(algorithm, fixedIssues(options, algorithm, ['advantage', 'jointMode', 'crossCredit']))
}

function policyLoss(options: PolicyLossOptions) {
  const { updatesPerRollout = 1, kl = null } = options
  const { clip = updatesPerRollout > 1 ? { low: 0.2, high: 0.2 } : null } = options
  return {
    equalRewardEps: options.equalRewardEps ?? 1e-6,
    turns: options.turns ?? 1,
    discount: options.discount ?? 1,
    terminationThreshold: options.terminationThreshold === undefined ? 'task' : options.terminationThreshold,
    lengthNormalization: options.lengthNormalization ?? 'none',
    lengthConstant: options.lengthConstant ?? null,
    maskTruncated: options.maskTruncated ?? false,
    updatesPerRollout,
    clip: clip && { low: clip.low, high: clip.high },
    kl: kl && { estimator: kl.estimator ?? 'k3', coefficient: kl.coefficient ?? 0.1, as: kl.as ?? 'return' },
    entropyCoefficient: options.entropyCoefficient ?? 0,
  } satisfies Partial<Algorithm>
}

function resolveCritic(options: CriticOptions): Critic {
  const { placement = 'separate' } = options
  const { clip = placement === 'shared' ? 0.2 : null } = options
  return {
    type: options.type ?? 'v',
    placement,
    coefficient: options.coefficient ?? 0.6,
    clip,
    hiddenSize: options.hiddenSize ?? null,
    learningRate: options.learningRate ?? null,
  }
}

/** Settings that an algorithm does not have, or not with this value: from a configuration file, where no type forbids them. */
function fixedIssues(options: object, algorithm: Algorithm, fixed: readonly (keyof Algorithm)[]): ConfigIssue[] {
  const given = options as Partial<Record<keyof Algorithm, unknown>>
  return fixed
    .filter((key) => given[key] !== undefined && given[key] !== algorithm[key])
    .map((key) => ({
      path: key,
      message:
        key === 'critic'
          ? `${algorithm.name} has no critic; leave it out, or use iac or maac`
          : `${algorithm.name} has ${key} '${String(algorithm[key])}' by definition, received '${String(given[key])}'`,
    }))
}

function checked(algorithm: Algorithm, more: readonly ConfigIssue[]): Algorithm {
  const issues = [...checkAlgorithm(algorithm), ...more]
  if (issues.length > 0) throw new ConfigError(issues, `The algorithm ${algorithm.name}`)
  return algorithm
}
