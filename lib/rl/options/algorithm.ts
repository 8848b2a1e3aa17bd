/** Settings of the algorithms: their types, and the check of a resolved algorithm. */
import type { ConfigIssue } from '../../base/errors.ts'
import type { KlEstimator } from '../../model/types.ts'

/** Names of the estimators of KL(π ‖ π_ref) (Schulman 2020, "Approximating KL divergence"). */
export const klEstimators = ['k1', 'k2', 'k3'] as const

/** Names of the places a KL penalty can be put in. */
export const klPlaces = ['loss', 'return'] as const

/** Names of the ways a completion's length enters its weight. */
export const lengthNormalizations = ['none', 'mean', 'constant'] as const

/** Divides a completion's sum over tokens by 1 (`none`), by its length (`mean`) or by a `constant`. */
export type LengthNormalization = (typeof lengthNormalizations)[number]

/** Names of what a critic reads: `v` the prompt, `q` the prompt and the completion. */
export const criticTypes = ['v', 'q'] as const

/** Names of where a critic's head is: on the policy it judges, or on a policy of its own. */
export const criticPlacements = ['shared', 'separate'] as const

/** Range of the probability ratio ρ = π/π_old that is not clipped: from 1 - low to 1 + high. */
export interface ClipRange {
  /** From 0 up to, but not including, 1. */
  low: number
  /** From 0 up. */
  high: number
}

/** A penalty on leaving the frozen reference. */
export interface KlOptions {
  /**
   * With d = log π_ref - log π of a token: `k1` -d (unbiased; as a loss its expected gradient is 0), `k2` d²/2 (as a loss
   * its gradient is that of the KL), `k3` exp(d) - d - 1 (unbiased, never negative). Defaults to `k3`.
   */
  estimator?: KlEstimator
  /** Factor of the penalty. Defaults to `0.1`. */
  coefficient?: number
  /**
   * `return`: the sum over a completion's tokens, from the sampler's log-probabilities, is taken off its return before
   * the advantage. `loss`: each token's term is part of the loss, with a gradient of its own. Defaults to `return`.
   */
  as?: (typeof klPlaces)[number]
}

/** {@link KlOptions} with every default filled in. */
export type KlPenalty = Required<KlOptions>

/** What all algorithms have in common. Unset fields take the defaults named here. */
export interface PolicyLossOptions {
  /**
   * A group whose returns (of a critic: an update batch whose advantages) differ by less carries no signal: counted, and
   * skipped. Defaults to `1e-6`.
   */
  equalRewardEps?: number
  /** Turns of an episode; more than one needs `task.transition`. Defaults to `1`. */
  turns?: number
  /** What a turn later is worth. Defaults to `1`: undiscounted, as in the paper. */
  discount?: number
  /** A node whose mean reward is above it gets no children; null: never. Defaults to `task`: the task's own, else null. */
  terminationThreshold?: number | null | 'task'
  /** Defaults to `none`: long completions have larger gradients, as in the paper. */
  lengthNormalization?: LengthNormalization
  /** Divisor of `constant`, in tokens. Defaults to `null`: `sampling.maxNewTokens` (Dr. GRPO, Liu et al. 2025). */
  lengthConstant?: number | null
  /**
   * Leave completions that were cut off by the token limit out of the policy's loss, and out of its divisor. Their rewards
   * still count in the group's baseline. Defaults to `false`, as in the paper.
   */
  maskTruncated?: boolean
  /** Optimizer steps on the samples of one rollout. Defaults to `1`, as in the paper. */
  updatesPerRollout?: number
  /**
   * Weigh tokens by their probability ratio, clipped (PPO, Schulman et al. 2017, equation 7). Defaults to `null`, no ratio,
   * for one update a rollout, as in the paper; to 0.2 on both sides for several.
   */
  clip?: ClipRange | null
  /** Penalty on leaving the frozen reference. Defaults to `null`: none, as in the paper. */
  kl?: KlOptions | null
  /** Reward for the entropy of each trained token's distribution, in the loss. Defaults to `0`. */
  entropyCoefficient?: number
}

/** Settings of the group-relative algorithms. Unset fields take the defaults named here. */
export interface AlgorithmOptions extends PolicyLossOptions {
  /** G: completions each agent samples for a prompt. Defaults to `4`. */
  groupSize?: number
  /** Which completions meet: `align` j-th with j-th (G joint actions), `cross` all with all (G^n). Defaults to `align`. */
  jointMode?: JointMode
  /** Most joint actions of a node: more are refused before training. Defaults to `4096`. */
  maxJointActions?: number
  /** Divide centred advantages by the group's standard deviation. Defaults to `false`, as in the paper. */
  scaleByStd?: boolean
  /**
   * `cross` only: a completion's return is the mean over the joint actions it took part in, or their sum as in the
   * published code, whose gradient grows with G^(n-1). Defaults to `mean`.
   */
  crossCredit?: CrossCredit
}

/** Settings of a critic. */
export interface CriticOptions {
  /** `v`: the value of what was seen; `q`: of that and what was done. Defaults to `v`. */
  type?: (typeof criticTypes)[number]
  /**
   * `shared`: a head on the agent's own policy, trained by the same steps. `separate`: a policy of its own, see
   * `Team.critics`. Defaults to `separate`, which is the only one for `maac`.
   */
  placement?: (typeof criticPlacements)[number]
  /** Factor of the squared error. Defaults to `0.6`. */
  coefficient?: number
  /**
   * Farthest a value may move from the rollout's within its updates (PPO's value clipping); tells something only with
   * several updates a rollout. Defaults to `0.2` for a shared head, to `null` (none) for a separate critic.
   */
  clip?: number | null
  /** Width of the head's hidden layer. Defaults to `null`: the model's. */
  hiddenSize?: number | null
  /** Of a separate critic. Defaults to `null`: the optimizer's. */
  learningRate?: number | null
}

/** {@link CriticOptions} with every default filled in. */
export type Critic = Required<CriticOptions>

/** Settings of the actor-critic algorithms. Unset fields take the defaults named here. */
export interface ActorCriticOptions extends PolicyLossOptions {
  /** Completions each agent samples for a prompt; several turns need 1. Defaults to `1`. */
  groupSize?: number
  /**
   * Centre and scale the advantages of each update batch (one agent, one turn, all items of a step) by their standard
   * deviation; a batch of one is left as it is. Defaults to `true`, as in the published code.
   */
  scaleByStd?: boolean
  /** What estimates returns. Defaults to one with the defaults of {@link CriticOptions}; `null` is none. */
  critic?: CriticOptions | null
}

/** Names of the algorithms. */
export const algorithmNames = ['magrpo', 'mareinforce', 'marloo', 'maremax', 'grpo', 'iac', 'maac'] as const

/** An algorithm with every setting resolved; plain JSON. */
export interface Algorithm extends Required<Omit<AlgorithmOptions, 'kl'>> {
  name: (typeof algorithmNames)[number]
  /** What is subtracted from a return, see {@link AdvantageMode}; `td`: the critic's value. */
  advantage: AdvantageMode | 'td'
  kl: KlPenalty | null
  /** Null for the group-relative algorithms. */
  critic: Critic | null
}

/** Everything out of range in a resolved algorithm. */
export function checkAlgorithm(algorithm: Algorithm): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const expectAt = (path: string, value: unknown, isRight: boolean, expected: string) => {
    if (!isRight) issues.push({ path, message: `expected ${expected}, received ${show(value)}` })
  }
  const expect = (path: keyof Algorithm, isRight: boolean, expected: string) =>
    expectAt(path, algorithm[path], isRight, expected)
  const { groupSize, advantage, turns, discount, terminationThreshold, critic, clip, kl } = algorithm
  const smallest = advantage === 'raw' || critic !== null ? 1 : 2
  expect('groupSize', isCount(groupSize, smallest), `an integer from ${smallest} up`)
  expect('jointMode', jointModes.includes(algorithm.jointMode), jointModes.join(' or '))
  expect('maxJointActions', isCount(algorithm.maxJointActions, 1), 'an integer from 1 up')
  if (critic === null)
    expect('advantage', advantageModes.includes(advantage as AdvantageMode), advantageModes.join(', '))
  expect('crossCredit', crossCredits.includes(algorithm.crossCredit), crossCredits.join(' or '))
  expect('equalRewardEps', isFrom0(algorithm.equalRewardEps), 'a number from 0 up')
  expect('turns', isCount(turns, 1), 'an integer from 1 up')
  expect('discount', discount >= 0 && discount <= 1, 'a number from 0 to 1')
  const isThreshold =
    terminationThreshold === null || terminationThreshold === 'task' || Number.isFinite(terminationThreshold)
  expect('terminationThreshold', isThreshold, "a number, null or 'task'")
  const { lengthNormalization, lengthConstant } = algorithm
  expect('lengthNormalization', lengthNormalizations.includes(lengthNormalization), lengthNormalizations.join(', '))
  expect('lengthConstant', lengthConstant === null || isAbove0(lengthConstant), 'a number above 0 or null')
  expect('updatesPerRollout', isCount(algorithm.updatesPerRollout, 1), 'an integer from 1 up')
  expect('entropyCoefficient', isFrom0(algorithm.entropyCoefficient), 'a number from 0 up')
  const isRange = clip === null || (isFrom0(clip.low) && clip.low < 1 && isFrom0(clip.high))
  expect('clip', isRange, '{ low, high }, low from 0 to below 1 and high from 0 up, or null')
  if (kl !== null) {
    expectAt('kl.estimator', kl.estimator, klEstimators.includes(kl.estimator), klEstimators.join(', '))
    expectAt('kl.coefficient', kl.coefficient, isFrom0(kl.coefficient), 'a number from 0 up')
    expectAt('kl.as', kl.as, klPlaces.includes(kl.as), klPlaces.join(' or '))
  }
  if (critic !== null) checkCritic(algorithm, critic, expectAt)
  return issues
}

type ExpectAt = (path: string, value: unknown, isRight: boolean, expected: string) => void

function checkCritic({ name, turns, groupSize }: Algorithm, critic: Critic, expectAt: ExpectAt): void {
  const { type, placement, coefficient, clip, hiddenSize, learningRate } = critic
  expectAt('critic.type', type, criticTypes.includes(type), criticTypes.join(' or '))
  const isPlace = name === 'maac' ? placement === 'separate' : criticPlacements.includes(placement)
  expectAt('critic.placement', placement, isPlace, name === 'maac' ? 'separate' : criticPlacements.join(' or '))
  expectAt('critic.coefficient', coefficient, isFrom0(coefficient), 'a number from 0 up')
  expectAt('critic.clip', clip, clip === null || isAbove0(clip), 'a number above 0 or null')
  expectAt(
    'critic.hiddenSize',
    hiddenSize,
    hiddenSize === null || isCount(hiddenSize, 1),
    'an integer from 1 up or null',
  )
  expectAt(
    'critic.learningRate',
    learningRate,
    learningRate === null || isFrom0(learningRate),
    'a number from 0 up or null',
  )
  if (turns > 1) {
    const expected = `1 for ${name} with ${turns} turns (a critic follows one path, not a tree)`
    expectAt('groupSize', groupSize, groupSize === 1, expected)
  }
}

const show = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value))
const isCount = (value: unknown, smallest: number) => Number.isInteger(value) && (value as number) >= smallest
const isFrom0 = (value: unknown) => typeof value === 'number' && value >= 0 && Number.isFinite(value)
const isAbove0 = (value: unknown) => typeof value === 'number' && value > 0 && Number.isFinite(value)

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
