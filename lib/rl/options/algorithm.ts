/** Settings of the algorithms: their meaning, defaults and bounds. `rl/algorithms` says which algorithm has which. */
import { z } from 'zod'
import { flag, integer, number } from '../../base/fields.ts'
import { choice, section } from '../../base/validate.ts'

/** Names of the baselines. */
export const advantageModes = ['mean', 'raw', 'max', 'rloo'] as const

/**
 * What is subtracted from a return R_g: `mean` the group's mean (MAGRPO, equation 1), `raw` nothing (MAREINFORCE),
 * `max` the group's best (MAREMAX), `rloo` the mean of the other members (MARLOO).
 */
export type AdvantageMode = (typeof advantageModes)[number]

/** Names of the joint modes. */
export const jointModes = ['align', 'cross'] as const

/** Which completions of the agents meet: `align` j-th with j-th, `cross` every combination. */
export type JointMode = (typeof jointModes)[number]

/** Names of the ways a completion is credited in `cross` mode. */
export const crossCredits = ['mean', 'sum'] as const

/** How the returns of the joint actions a completion took part in are put together. */
export type CrossCredit = (typeof crossCredits)[number]

/** Names of what is left of a branch that has ended. */
const endedModes = ['absorb', 'stop'] as const

/** Names of the ways a completion's length enters its weight. */
export const lengthNormalizations = ['none', 'mean', 'constant'] as const

/** Divides a completion's sum over tokens by 1 (`none`), by its length (`mean`) or by a `constant`. */
export type LengthNormalization = (typeof lengthNormalizations)[number]

/** Names of the distributions that log-probabilities may be of. */
export const logProbSources = ['sampler', 'model'] as const

/** Whose distribution is trained: the sampler's, or the model's at temperature 1. */
export type LogProbSource = (typeof logProbSources)[number]

const clipSection = section({
  /** From 0 up to, but not including, 1. */
  low: number({ from: 0, below: 1 }),
  /** From 0 up. */
  high: number({ from: 0 }),
})

/** Range of the probability ratio ρ = π/π_old that is not clipped: from 1 - low to 1 + high. */
export interface ClipRange extends z.input<typeof clipSection> {}

const klSection = section({
  /**
   * Of KL(π ‖ π_ref) (Schulman 2020, "Approximating KL divergence"), with d = log π_ref - log π of a token: `k1` -d (unbiased; as a
   * loss its expected gradient is 0), `k2` d²/2 (as a loss its gradient is that of the KL), `k3` exp(d) - d - 1 (unbiased, never
   * negative). Defaults to `k3`.
   */
  estimator: choice(['k1', 'k2', 'k3']).default('k3'),
  /** Factor of the penalty. Defaults to `0.1`. */
  coefficient: number({ from: 0 }).default(0.1),
  /**
   * `return`: the sum over a completion's tokens, from the sampler's log-probabilities, is taken off its return before
   * the advantage. `loss`: each token's term is part of the loss, with a gradient of its own. Defaults to `return`.
   */
  as: choice(['loss', 'return']).default('return'),
})

/** A penalty in full, or as its coefficient alone: then 0 is none, where in full it is still measured. */
const klCoefficient = number({ from: 0 })
const klOption = z
  .union([
    klCoefficient.transform((coefficient) => (coefficient === 0 ? null : klSection.parse({ coefficient }))),
    klSection,
  ])
  .nullable()

/** A clipped range by its two sides, or as one number for both. */
const clipOption = z
  .union([number({ from: 0, below: 1 }).transform((side) => ({ low: side, high: side })), clipSection])
  .nullable()

/** A penalty on leaving the frozen reference. */
export interface KlOptions extends z.input<typeof klSection> {}

/** {@link KlOptions} with every default filled in. */
export interface KlPenalty extends z.output<typeof klSection> {}

/** Fields that all algorithms have. */
export const policyLossShape = {
  /**
   * Whose log-probabilities, ratios, KL and entropies are meant. `sampler`: those of the distribution that completions are drawn from,
   * with `sampling`'s temperature, filters and penalty, so that what is trained is what was sampled; gradients scale with
   * 1/temperature. `model`: temperature 1 over the whole vocabulary, as in the published code; where `sampling` says otherwise,
   * entropy may collapse or run to noise. Defaults to `sampler`.
   */
  logProbs: choice(logProbSources).default('sampler'),
  /**
   * A group whose returns (of a critic: an update batch whose advantages) differ by less carries no signal: counted, and
   * skipped. Defaults to `1e-6`.
   */
  equalRewardEps: number({ from: 0 }).default(1e-6),
  /** Turns of an episode; more than one needs `task.transition`. Defaults to `1`. */
  turns: integer({ from: 1 }).default(1),
  /** What a turn later is worth. Defaults to `1`: undiscounted, as in the paper. */
  discount: number({ from: 0, to: 1 }).default(1),
  /** A node whose mean reward is above it gets no children; null: never. Defaults to `task`: the task's own, else null. */
  terminationThreshold: z
    .union([number(), z.literal('task')], { error: "expected a number, null or 'task'" })
    .nullable()
    .default('task'),
  /**
   * What the return of a branch that ended before the last turn has for the turns that are left: `absorb` its last reward, once a
   * turn and discounted, so that a solved episode is worth no less than one that goes on; `stop` nothing, as in the published code,
   * whose rewards are shifted to 0 at most (`rewardShift: -4`). With `stop` and rewards above 0, ending early because of success is
   * punished. `reward/mean` is of what was played either way. Defaults to `absorb`.
   */
  ended: choice(endedModes).default('absorb'),
  /** Defaults to `none`: long completions have larger gradients, as in the paper. */
  lengthNormalization: choice(lengthNormalizations).default('none'),
  /** Divisor of `constant`, in tokens. Defaults to `null`: `sampling.maxNewTokens` (Dr. GRPO, Liu et al. 2025). */
  lengthConstant: number({ above: 0 }).nullable().default(null),
  /**
   * Leave completions that were cut off by the token limit out of the policy's loss, and out of its divisor. Their rewards
   * still count in the group's baseline. Defaults to `false`, as in the paper.
   */
  maskTruncated: flag().default(false),
  /** Optimizer steps on the samples of one rollout. Defaults to `1`, as in the paper. */
  updatesPerRollout: integer({ from: 1 }).default(1),
  /**
   * Weigh tokens by their probability ratio, clipped (PPO, Schulman et al. 2017, equation 7). Defaults to `null`, no ratio,
   * for one update per rollout, as in the paper; to 0.2 on both sides for several. A number is the range of both sides.
   */
  clip: clipOption.optional(),
  /** Penalty on leaving the frozen reference; a number is its coefficient. Defaults to `null`: none, as in the paper. */
  kl: klOption.default(null),
  /** Reward for the entropy of each trained token's distribution, in the loss. Defaults to `0`. */
  entropyCoefficient: number({ from: 0 }).default(0),
}

const policyLossSection = section(policyLossShape)

/** What all algorithms have in common. Unset fields take the defaults named here. */
export interface PolicyLossOptions extends z.input<typeof policyLossSection> {}

/** Fields of the group-relative algorithms. */
export const groupShape = {
  /** G: completions each agent samples per prompt. Defaults to `4`. */
  groupSize: integer({ from: 1 }).default(4),
  /** Which completions meet: `align` j-th with j-th (G joint actions), `cross` all with all (G^n). Defaults to `align`. */
  jointMode: choice(jointModes).default('align'),
  /** Most joint actions of a node: more are refused before training. Defaults to `4096`. */
  maxJointActions: integer({ from: 1 }).default(4096),
  /** Divide centred advantages by the group's standard deviation. Defaults to `false`, as in the paper. */
  scaleByStd: flag().default(false),
  /**
   * `cross` only: a completion's return is the mean over the joint actions it took part in, or their sum as in the
   * published code, whose gradient grows with G^(n-1). Defaults to `mean`.
   */
  crossCredit: choice(crossCredits).default('mean'),
  ...policyLossShape,
}

const groupSection = section(groupShape)

/** Settings of the group-relative algorithms. Unset fields take the defaults named here. */
export interface AlgorithmOptions extends z.input<typeof groupSection> {}

const criticSection = section({
  /** What it reads: `v` the prompt, `q` the prompt and the completion. Defaults to `v`. */
  type: choice(['v', 'q']).default('v'),
  /**
   * `shared`: a head on the agent's own policy, trained by the same steps. `separate`: a policy of its own, see
   * `Team.critics`. Defaults to `separate`, the only one for a critic of the whole team (`maac`).
   */
  placement: choice(['shared', 'separate']).default('separate'),
  /** Factor of the squared error. Defaults to `0.6`. */
  coefficient: number({ from: 0 }).default(0.6),
  /**
   * Farthest a value may move from the rollout's within its updates (PPO's value clipping); matters only with
   * several updates per rollout. Defaults to `0.2` for a shared head, to `null` (none) for a separate critic.
   */
  clip: number({ above: 0 }).nullable().optional(),
  /** Width of the head's hidden layer. Defaults to `null`: the model's. */
  hiddenSize: integer({ from: 1 }).nullable().default(null),
  /** Of a separate critic. Defaults to `null`: the optimizer's. */
  learningRate: number({ from: 0 }).nullable().default(null),
})

/** Settings of a critic. */
export interface CriticOptions extends z.input<typeof criticSection> {}

/** {@link CriticOptions} with every default filled in. */
export type Critic = Required<z.output<typeof criticSection>>

/** Fields of the actor-critic algorithms. */
export const actorCriticShape = {
  /** Completions each agent samples per prompt; several turns need 1. Defaults to `1`. */
  groupSize: integer({ from: 1 }).default(1),
  /**
   * Centre and scale the advantages of each update batch (one agent, one turn, all items of a step) by their standard
   * deviation; a batch of one is left as it is. If the policy decides when an episode ends, later batches hold only the
   * episodes that went on, and their mean is a biased baseline: set it to `false` there. Defaults to `true`, as in the published code.
   */
  scaleByStd: flag().default(true),
  ...policyLossShape,
  /** What estimates returns; null is one with the defaults of {@link CriticOptions}. */
  critic: criticSection.nullable().default(null),
}

const actorCriticSection = section(actorCriticShape)

/** Settings of the actor-critic algorithms. Unset fields take the defaults named here. */
export interface ActorCriticOptions extends z.input<typeof actorCriticSection> {}

/** An algorithm with every setting resolved; plain JSON. */
export interface Algorithm extends Required<Omit<z.output<typeof groupSection>, 'clip'>> {
  /** Which one, see `algorithms`. */
  name: string
  /** What is subtracted from a return, see {@link AdvantageMode}; `td`: the critic's value. */
  advantage: AdvantageMode | 'td'
  clip: ClipRange | null
  /** Null for the group-relative algorithms. */
  critic: Critic | null
}

/** What depends on another setting. */
export function resolveClip(options: { clip?: ClipRange | null; updatesPerRollout: number }): ClipRange | null {
  const { clip = options.updatesPerRollout > 1 ? { low: 0.2, high: 0.2 } : null } = options
  return clip
}

/** {@link CriticOptions} with every default filled in. */
export function resolveCritic(options: CriticOptions | null): Critic {
  const critic = criticSection.parse(options ?? {})
  const { clip = critic.placement === 'shared' ? 0.2 : null } = critic
  return { ...critic, clip }
}
