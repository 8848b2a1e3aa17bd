/** Watches a run for the ways in which training quietly goes nowhere, and for gradients that are not finite. */

import { mean, present, smallest } from '../../base/statistics.ts'
import type { NodeSignal } from '../credit/types.ts'
import { namesOf, type PromptSurvey } from '../rollout/first-prompts.ts'
import type { ResolvedTrainOptions } from '../types/options.ts'
import type { RunWarning, WatchState, Window } from '../types/reports.ts'
import { isSkipped } from './metrics.ts'

/** Shares above which a warning is raised. */
const warningShares = { lengthLimit: 0.5, equalRewards: 0.8 }

/** A share is judged over as many steps as give at least so many groups: one odd group is no news. */
const smallestWindow = 4

const emptyWindow = (): Window => ({ groups: [], completions: [], firstTurns: [] })

/** Raises each warning once per run. */
export class WarningWatch {
  private readonly raised = new Set<RunWarning['code']>()
  private readonly options: ResolvedTrainOptions
  private window = emptyWindow()

  /** @param options of the run that is watched */
  constructor(options: ResolvedTrainOptions) {
    this.options = options
  }

  /** A copy of what was seen so far, for a watch that goes on from here. */
  get state(): WatchState {
    return { raised: [...this.raised], window: structuredClone(this.window) }
  }

  /** Goes on where another watch stood. */
  restore({ raised, window }: WatchState): void {
    this.raised.clear()
    for (const code of raised) this.raised.add(code)
    this.window = structuredClone(window)
  }

  /** What the settings alone tell, before the first step. */
  start(): RunWarning[] {
    const { algorithm, task } = this.options
    const { minReward, maxReward } = task
    const { name, advantage, scaleByStd, critic, turns, terminationThreshold: threshold, ended } = algorithm
    const warnings: RunWarning[] = []
    if (scaleByStd && advantage !== 'mean' && critic === null) {
      const message =
        `${name} with scaleByStd equals magrpo with scaleByStd: centring and scaling the advantages of a group cancels ` +
        `its baseline ('${advantage}'). Set algorithm.scaleByStd to false to train with this baseline.`
      warnings.push(...this.raise('cancelled_baseline', 0, message))
    }
    if (turns > 1 && threshold !== null && minReward !== null && minReward > threshold) {
      const message =
        `Every episode will end at turn 1 of ${turns}: the task's rewards are at least ${minReward}, above ` +
        `algorithm.terminationThreshold (${threshold}). Raise it, or set it to null.`
      warnings.push(...this.raise('early_termination', 0, message))
    }
    // Only a task with a transition has several turns, and a transition may stop.
    if (turns > 1 && ended === 'stop' && (maxReward === null || maxReward > 0)) {
      const most = maxReward === null ? 'may be above 0 (the task does not say maxReward)' : `go up to ${maxReward}`
      const message =
        `algorithm.ended is 'stop' and rewards ${most}: an episode that ends because it is solved gets a smaller return than ` +
        "one that goes on and is rewarded again, so being solved is punished. Use ended: 'absorb', or rewards of at most 0 " +
        '(rewardShift of the code tasks).'
      warnings.push(...this.raise('punished_end', 0, message))
    }
    return warnings
  }

  /** What the first prompts tell, before the first step. */
  prompts({ items, tooLong, tight }: PromptSurvey): RunWarning[] {
    const { longPrompts, sampling } = this.options
    const { maxNewTokens } = sampling
    const warnings: RunWarning[] = []
    const changed = longPrompts === 'cut' ? [...tooLong, ...tight] : tooLong
    if (changed.length > 0) {
      const what = longPrompts === 'cut' ? 'cuts the prompts of' : 'leaves out'
      const message = `longPrompts '${longPrompts}' ${what} ${changed.length} of ${items} items: ${namesOf(changed)}.`
      warnings.push(...this.raise('long_prompts', 0, message))
    }
    if (longPrompts !== 'cut' && tight.length > 0) {
      const { left, tokens, contextLength, agent } = tight.reduce((a, b) => (b.left < a.left ? b : a))
      const message =
        `The prompts of ${tight.length} of ${items} items leave less of the model's context than sampling.maxNewTokens ` +
        `(${maxNewTokens}): ${left} of ${contextLength} tokens after the longest (${tokens} tokens for agent '${agent}'). Their completions ` +
        "end at the end of the context. Shorten the prompts (longPrompts: 'cut' does), use a model with a longer context, or " +
        'lower sampling.maxNewTokens.'
      warnings.push(...this.raise('context_limit', 0, message))
    }
    return warnings
  }

  /** Looks at one step; returns what is new. */
  step(index: number, signals: readonly NodeSignal[]): RunWarning[] {
    const { maxReward } = this.options.task
    const { maxNewTokens } = this.options.sampling
    for (const { node, agents } of signals) {
      const rewards = present(node.joints.map(({ reward }) => reward))
      const isBest = maxReward !== null && rewards.every((reward) => reward >= maxReward - 1e-9)
      for (const { isEqual } of agents.filter((group) => !isSkipped(group)))
        this.window.groups.push({ isEqual, isBest })
      if (node.turn === 0 && rewards.length > 0) this.window.firstTurns.push(mean(rewards))
      for (const { finish, ids } of node.samples.flat()) {
        const isTruncated = finish === 'length'
        this.window.completions.push({ isTruncated, isByContext: isTruncated && ids.length < maxNewTokens })
      }
    }
    return this.window.groups.length < smallestWindow ? [] : this.check(index)
  }

  /** Judges what is left of a run too short for a window. */
  end(index: number): RunWarning[] {
    return this.window.groups.length === 0 ? [] : this.check(index)
  }

  /** Says that an update was skipped. */
  nonFiniteGradient(index: number, agents: readonly string[]): RunWarning[] {
    const message =
      `Step ${index}: the gradient of ${agents.join(', ')} was not finite; the update was skipped (counted in ` +
      'train/skipped_steps). Lower the learning rate or use float32 if it goes on.'
    return this.raise('non_finite_gradient', index, message)
  }

  private check(index: number): RunWarning[] {
    const { groups, completions, firstTurns } = this.window
    this.window = emptyWindow()
    const warnings = this.checkThreshold(index, firstTurns)
    const truncated = mean(completions.map(({ isTruncated }) => Number(isTruncated)))
    if (truncated > warningShares.lengthLimit) {
      const { maxNewTokens } = this.options.sampling
      const byContext = mean(completions.map(({ isByContext }) => Number(isByContext ?? false)))
      const message =
        byContext > truncated / 2
          ? `Step ${index}: ${percent(byContext)} of the completions were cut off by the end of the model's context, before ` +
            `sampling.maxNewTokens (${maxNewTokens}). Shorten the prompts (longPrompts: 'cut' does), use a model with a longer context, ` +
            'or ask for shorter answers.'
          : `Step ${index}: ${percent(truncated)} of the completions hit the limit of ${maxNewTokens} new tokens. ` +
            'Raise sampling.maxNewTokens, add a stop string, or ask for shorter answers.'
      warnings.push(...this.raise('length_limit', index, message))
    }
    const equal = groups.filter(({ isEqual }) => isEqual)
    const share = equal.length / groups.length
    if (share > warningShares.equalRewards) {
      const best = equal.filter(({ isBest }) => isBest).length
      const remedy =
        best > equal.length / 2
          ? `Most of them (${best} of ${equal.length}) have the highest reward: there is little left to learn.`
          : 'Raise the group size or the temperature, or give a reward that tells more completions apart.'
      const message = `Step ${index}: ${percent(share)} of the groups have equal rewards and teach nothing. ${remedy}`
      warnings.push(...this.raise('equal_rewards', index, message))
    }
    return warnings
  }

  /** Whether all episodes of the window ended at their first turn because of the threshold. */
  private checkThreshold(index: number, firstTurns: readonly number[]): RunWarning[] {
    const { turns, terminationThreshold: threshold } = this.options.algorithm
    if (turns === 1 || threshold === null || firstTurns.length === 0) return []
    const lowest = smallest(firstTurns)
    if (lowest <= threshold) return []
    const message =
      `Step ${index}: all ${firstTurns.length} episodes ended at turn 1 of ${turns}, because their mean rewards (from ` +
      `${lowest.toFixed(3)} up) are above algorithm.terminationThreshold (${threshold}). Raise it, or set it to null.`
    return this.raise('early_termination', index, message)
  }

  private raise(code: RunWarning['code'], index: number, message: string): RunWarning[] {
    if (this.raised.has(code)) return []
    this.raised.add(code)
    return [{ code, index, message }]
  }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
