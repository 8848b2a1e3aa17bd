/**
 * The algorithms: plain settings of one trainer. Source: Liu et al., "LLM Collaboration with Multi-Agent Reinforcement
 * Learning" (AAAI 2026), Algorithm 1, equations 1 and 2, and its published code.
 *
 * Left out on purpose, as in the paper: importance ratios and clipping (samples are used once, by the policy that made
 * them), KL to a reference, critics.
 */
import { ConfigError, type ConfigIssue } from '../errors.ts'
import { type AdvantageMode, advantageModes } from './advantages.ts'
import { type CrossCredit, crossCredits, type JointMode, jointModes } from './credit.ts'

/** Settings shared by all algorithms of the family. Unset fields take the defaults named here. */
export interface AlgorithmOptions {
  /** G: completions each agent samples for a prompt. Defaults to `4`. */
  groupSize?: number
  /** Which completions meet: `align` j-th with j-th (G joint actions), `cross` all with all (G^n). Defaults to `align`. */
  jointMode?: JointMode
  /** Divide centred advantages by the group's standard deviation. Defaults to `false`, as in the paper. */
  scaleByStd?: boolean
  /**
   * `cross` only: a completion's return is the mean over the joint actions it took part in, or their sum as in the
   * published code, whose gradient grows with G^(n-1). Defaults to `mean`.
   */
  crossCredit?: CrossCredit
  /** A group whose returns differ by less carries no signal: counted, and skipped. Defaults to `1e-6`. */
  equalRewardEps?: number
  /** Turns of an episode; more than one needs `task.transition`. Defaults to `1`. */
  turns?: number
  /** What a turn later is worth. Defaults to `1`: undiscounted, as in the paper. */
  discount?: number
  /** A node whose mean reward is above it gets no children. Defaults to `null`: never. */
  terminationThreshold?: number | null
}

/** An algorithm with every setting resolved; plain JSON. */
export interface Algorithm extends Required<AlgorithmOptions> {
  name: 'magrpo' | 'mareinforce' | 'marloo' | 'maremax' | 'grpo'
  /** What is subtracted from a group's returns, see {@link AdvantageMode}. */
  advantage: AdvantageMode
}

/**
 * MAGRPO: every agent is moved by the mean-centred joint return of its group (equation 1), at sequence level
 * (equation 2). `advantage` picks another baseline.
 *
 * @throws ConfigError listing every setting out of range
 */
export function magrpo(options: AlgorithmOptions & { advantage?: AdvantageMode } = {}): Algorithm {
  return resolve('magrpo', options.advantage ?? 'mean', options)
}

/** {@link magrpo} without a baseline: the return itself (REINFORCE). */
export function mareinforce(options: AlgorithmOptions = {}): Algorithm {
  return resolve('mareinforce', 'raw', options)
}

/** {@link magrpo} with the mean of the group's other members as baseline (RLOO, Ahmadian et al. 2024). */
export function marloo(options: AlgorithmOptions = {}): Algorithm {
  return resolve('marloo', 'rloo', options)
}

/** {@link magrpo} with the group's best return as baseline. */
export function maremax(options: AlgorithmOptions = {}): Algorithm {
  return resolve('maremax', 'max', options)
}

/** One agent trained by its own group (Shao et al. 2024, with the mean only as in Dr. GRPO, Liu et al. 2025). */
export function grpo(options: AlgorithmOptions & { advantage?: AdvantageMode } = {}): Algorithm {
  return resolve('grpo', options.advantage ?? 'mean', options)
}

function resolve(name: Algorithm['name'], advantage: AdvantageMode, options: AlgorithmOptions): Algorithm {
  const algorithm: Algorithm = {
    name,
    advantage,
    groupSize: options.groupSize ?? 4,
    jointMode: options.jointMode ?? 'align',
    scaleByStd: options.scaleByStd ?? false,
    crossCredit: options.crossCredit ?? 'mean',
    equalRewardEps: options.equalRewardEps ?? 1e-6,
    turns: options.turns ?? 1,
    discount: options.discount ?? 1,
    terminationThreshold: options.terminationThreshold ?? null,
  }
  const issues = checkAlgorithm(algorithm)
  if (issues.length > 0) throw new ConfigError(issues, `The algorithm ${name}`)
  return algorithm
}

function checkAlgorithm(algorithm: Algorithm): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const expect = (path: keyof Algorithm, isRight: boolean, expected: string) => {
    if (!isRight) issues.push({ path, message: `expected ${expected}, received ${String(algorithm[path])}` })
  }
  const { groupSize, advantage, equalRewardEps, turns, discount, terminationThreshold } = algorithm
  const smallest = advantage === 'raw' ? 1 : 2
  expect('groupSize', Number.isInteger(groupSize) && groupSize >= smallest, `an integer from ${smallest} up`)
  expect('jointMode', jointModes.includes(algorithm.jointMode), jointModes.join(' or '))
  expect('advantage', advantageModes.includes(advantage), advantageModes.join(', '))
  expect('crossCredit', crossCredits.includes(algorithm.crossCredit), crossCredits.join(' or '))
  expect('equalRewardEps', equalRewardEps >= 0 && Number.isFinite(equalRewardEps), 'a number from 0 up')
  expect('turns', Number.isInteger(turns) && turns >= 1, 'an integer from 1 up')
  expect('discount', discount >= 0 && discount <= 1, 'a number from 0 to 1')
  expect(
    'terminationThreshold',
    terminationThreshold === null || Number.isFinite(terminationThreshold),
    'a number or null',
  )
  return issues
}
