/** Watches a run for the two ways in which training quietly goes nowhere, and for gradients that are not finite. */
import type { NodeSignal } from './signals.ts'
import { mean } from './statistics.ts'
import type { RunWarning } from './types.ts'

/** Shares above which a warning is raised. */
export const warningShares = { lengthLimit: 0.5, equalRewards: 0.8 }

/** A share is judged over as many steps as give at least so many groups: one odd group is no news. */
const smallestWindow = 4

/** What is seen of the steps since shares were last judged. */
interface Window {
  groups: { isEqual: boolean; isBest: boolean }[]
  completions: { isTruncated: boolean }[]
}

/** Raises each warning once a run. */
export class WarningWatch {
  private readonly raised = new Set<RunWarning['code']>()
  private readonly maxReward: number | null
  private readonly maxNewTokens: number
  private window: Window = { groups: [], completions: [] }

  constructor(settings: { maxReward: number | null; maxNewTokens: number }) {
    this.maxReward = settings.maxReward
    this.maxNewTokens = settings.maxNewTokens
  }

  /** Looks at one step; returns what is new. */
  step(index: number, signals: readonly NodeSignal[]): RunWarning[] {
    for (const { node, returns, agents } of signals) {
      const isBest = this.maxReward !== null && returns.every((value) => value >= this.maxReward! - 1e-9)
      for (const { isEqual } of agents) this.window.groups.push({ isEqual, isBest })
      for (const { finish } of node.samples.flat()) this.window.completions.push({ isTruncated: finish === 'length' })
    }
    return this.window.groups.length < smallestWindow ? [] : this.judge(index)
  }

  /** Judges what is left of a run too short for a window. */
  end(index: number): RunWarning[] {
    return this.window.groups.length === 0 ? [] : this.judge(index)
  }

  /** Says that an update was skipped. */
  nonFiniteGradient(index: number, agents: readonly string[]): RunWarning[] {
    return this.raise(
      'non_finite_gradient',
      index,
      () =>
        `Step ${index}: the gradient of ${agents.join(', ')} was not finite; the update was skipped (counted in ` +
        'train/skipped_steps). Lower the learning rate or use float32 if it goes on.',
    )
  }

  private judge(index: number): RunWarning[] {
    const { groups, completions } = this.window
    this.window = { groups: [], completions: [] }
    const truncated = mean(completions.map(({ isTruncated }) => Number(isTruncated)))
    const equal = groups.filter(({ isEqual }) => isEqual)
    const best = equal.filter(({ isBest }) => isBest).length
    const warnings: RunWarning[] = []
    if (truncated > warningShares.lengthLimit) {
      warnings.push(
        ...this.raise(
          'length_limit',
          index,
          () =>
            `Step ${index}: ${percent(truncated)} of the completions hit the limit of ${this.maxNewTokens} new tokens. ` +
            'Raise sampling.maxNewTokens, add a stop string, or ask for shorter answers.',
        ),
      )
    }
    const share = equal.length / groups.length
    if (share > warningShares.equalRewards) {
      const remedy =
        best > equal.length / 2
          ? `Most of them (${best} of ${equal.length}) have the highest reward: there is little left to learn.`
          : 'Raise the group size or the temperature, or give a reward that tells more completions apart.'
      warnings.push(
        ...this.raise(
          'equal_rewards',
          index,
          () => `Step ${index}: ${percent(share)} of the groups have equal rewards and teach nothing. ${remedy}`,
        ),
      )
    }
    return warnings
  }

  private raise(code: RunWarning['code'], index: number, message: () => string): RunWarning[] {
    if (this.raised.has(code)) return []
    this.raised.add(code)
    return [{ code, index, message: message() }]
  }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
