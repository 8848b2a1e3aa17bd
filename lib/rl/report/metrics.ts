/**
 * Metrics of a rollout and of an update, by `area/name`. Means are over episodes (rewards, task metrics),
 * completions (lengths, finish) or tokens (entropy); `<agent>` variants restrict them to one agent.
 */

import { largest, mean, populationStd, present, smallest, sum } from '../../base/statistics.ts'
import type { StepResult } from '../../model/types.ts'
import type { AgentSignal, NodeSignal } from '../credit/types.ts'
import type { JointAction, RolloutNode } from '../rollout/tree.ts'
import type { Metrics } from '../types/reports.ts'
import { episodeWeights, meanReward, weightedMean } from './episodes.ts'

/**
 * `reward/mean`, `reward/std` (of all joint actions), `reward/group_std` (mean over nodes of the deviation within one),
 * `reward/<part>`, `task/<metric>`, `reward/abstained_share` (of the joint actions: those without a verdict, which are in none of the
 * rewards' means) and, where rewards may be asked for again, `reward/retries` (how often that was); with several turns also
 * `reward/turn_<t>/mean`, turns counted from 1.
 *
 * Every item counts the same, and within it every episode, however many turns it has: see {@link episodeWeights}. The mean of
 * a turn is over the episodes that reached it.
 *
 * @param nodes whole trees
 */
export function rewardMetrics(nodes: readonly RolloutNode[]): Metrics {
  const weights = episodeWeights(nodes)
  const joints = nodes.flatMap((node) => node.joints)
  const shareOf = (action: JointAction) => weights.get(action)!.share
  const average = meanReward(joints, shareOf)
  const retries = joints.flatMap((action) => action.retries ?? [])
  const groups = nodes.map((node) => present(node.joints.map(({ reward }) => reward)))
  const metrics: Metrics = {
    'reward/mean': average,
    'reward/std': Math.sqrt(meanReward(joints, shareOf, (reward) => (reward - average) ** 2)),
    'reward/group_std': mean(groups.filter((rewards) => rewards.length > 0).map(populationStd)),
    'reward/abstained_share': mean(joints.map(({ reward }) => Number(reward === null))),
    ...(retries.length > 0 && { 'reward/retries': sum(retries) }),
    ...meansByName('reward/', joints, joints.map(shareOf), (action) => action.parts),
    ...meansByName('task/', joints, joints.map(shareOf), (action) => action.metrics),
  }
  const turns = 1 + largest(nodes.map(({ turn }) => turn))
  for (let turn = 0; turns > 1 && turn < turns; turn++) {
    const played = nodes.filter((node) => node.turn === turn).flatMap((node) => node.joints)
    metrics[`reward/turn_${turn + 1}/mean`] = meanReward(played, (action) => weights.get(action)!.reach)
  }
  return metrics
}

/**
 * Of the (node, agent) groups: `reward/skipped_group_share`, those that were skipped because too many rewards abstained, and of the
 * others `reward/zero_variance_share`, those whose returns are equal.
 */
export function signalMetrics(signals: readonly NodeSignal[]): Metrics {
  const groups = signals.flatMap(({ agents }) => agents)
  const judged = groups.filter((group) => !isSkipped(group))
  return {
    'reward/zero_variance_share': mean(judged.map(({ isEqual }) => Number(isEqual))),
    'reward/skipped_group_share': (groups.length - judged.length) / groups.length,
  }
}

/** Whether a group takes no part in the update, since too many of its rewards abstained. */
export const isSkipped = ({ advantages }: Pick<AgentSignal, 'advantages'>) =>
  advantages.every((advantage) => advantage === null)

/**
 * `policy/entropy`; `completion/length_mean`, `_std`, `_min`, `_max` (tokens), `completion/truncated_share` (cut off by
 * `maxNewTokens` or by the end of the model's context), `completion/stopped_share` (by an end token or stop string); each also as `<name>/<agent>`.
 */
export function completionMetrics(nodes: readonly RolloutNode[], agents: readonly string[]): Metrics {
  const byAgent = agents.map((_, agent) => nodes.flatMap((node) => node.samples[agent]!))
  const metrics = describeSamples(byAgent.flat(), '')
  for (const [agent, name] of agents.entries()) Object.assign(metrics, describeSamples(byAgent[agent]!, `/${name}`))
  return metrics
}

function describeSamples(samples: readonly RolloutNode['samples'][number][number][], suffix: string): Metrics {
  const lengths = samples.map(({ ids }) => ids.length)
  const truncated = mean(samples.map(({ finish }) => Number(finish === 'length')))
  return {
    [`policy/entropy${suffix}`]: sum(samples.map(({ entropies }) => sum(entropies))) / sum(lengths),
    [`completion/length_mean${suffix}`]: mean(lengths),
    [`completion/length_std${suffix}`]: populationStd(lengths),
    [`completion/length_min${suffix}`]: smallest(lengths),
    [`completion/length_max${suffix}`]: largest(lengths),
    [`completion/truncated_share${suffix}`]: truncated,
    [`completion/stopped_share${suffix}`]: 1 - truncated,
  }
}

/**
 * `policy/kl`: mean over completions of the KL estimate's sum over tokens, at rollout time; also as `policy/kl/<agent>`.
 * Nothing without a reference.
 */
export function klMetrics(signals: readonly NodeSignal[], agents: readonly string[]): Metrics {
  const byAgent = agents.map((_, agent) => signals.flatMap((signal) => signal.agents[agent]!.kl?.sums ?? []))
  return describeAll('policy/kl', byAgent, agents)
}

/**
 * Of a critic, before the update: `critic/loss` (mean squared error, without its coefficient), `critic/value_mean`,
 * `critic/target_mean`, each also as `<name>/<agent>`; `critic/grad_norm` over separate critics. Nothing without a critic.
 */
export function criticMetrics(
  signals: readonly NodeSignal[],
  agents: readonly string[],
  results: ReadonlyMap<number, StepResult>,
  policies: readonly (number | null)[],
): Metrics {
  const byAgent = agents.map((_, agent) => signals.flatMap((signal) => signal.agents[agent]!.critic ?? []))
  if (byAgent.every((own) => own.length === 0)) return {}
  const errors = byAgent.map((own) =>
    own.flatMap(({ values, targets }) =>
      values.flatMap((value, g) => (targets[g] === null ? [] : (targets[g]! - value) ** 2)),
    ),
  )
  const values = byAgent.map((own) => own.flatMap((critic) => critic.values))
  const targets = byAgent.map((own) => own.flatMap((critic) => present(critic.targets)))
  const separate = [...results].filter(([policy]) => !policies.includes(policy)).map(([, { gradNorm }]) => gradNorm)
  return {
    ...describeAll('critic/loss', errors, agents),
    ...describeAll('critic/value_mean', values, agents),
    ...describeAll('critic/target_mean', targets, agents),
    ...(separate.length > 0 && { 'critic/grad_norm': Math.hypot(...separate) }),
  }
}

/** The mean over all agents' values, and that of each agent that has any; nothing without values. */
function describeAll(name: string, byAgent: readonly (readonly number[])[], agents: readonly string[]): Metrics {
  if (byAgent.every((values) => values.length === 0)) return {}
  const metrics: Metrics = { [name]: mean(byAgent.flat()) }
  for (const [agent, values] of byAgent.entries()) {
    if (values.length > 0) metrics[`${name}/${agents[agent]!}`] = mean(values)
  }
  return metrics
}

/**
 * Of the last update: `train/grad_norm` (over the policies of all agents, before clipping) and `train/grad_norm/<agent>`. A policy whose gradient was not
 * finite is left out; one without gradient counts as 0.
 *
 * @param policies (n) number of each agent's policy, null if it is not trained
 */
export function gradientMetrics(
  results: ReadonlyMap<number, StepResult>,
  agents: readonly string[],
  policies: readonly (number | null)[],
): Metrics {
  const own = [...results].filter(([policy]) => policies.includes(policy)).map(([, result]) => result)
  const finite = own.filter(({ gradNorm }) => Number.isFinite(gradNorm))
  const metrics: Metrics = { 'train/grad_norm': Math.sqrt(sum(finite.map(({ gradNorm }) => gradNorm ** 2))) }
  for (const [agent, name] of agents.entries()) {
    const policy = policies[agent]!
    if (policy !== null) metrics[`train/grad_norm/${name}`] = results.get(policy)?.gradNorm ?? 0
  }
  return onlyFinite(metrics)
}

/** The same metrics without those that are not finite, which JSON cannot hold. */
export function onlyFinite(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)))
}

/** The same metrics under other names: `prefix` and the old name. */
export function withPrefix(prefix: string, metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [prefix + name, value]))
}

/** Weighted mean of each name over the joint actions that have a finite number for it. */
function meansByName(
  prefix: string,
  joints: readonly JointAction[],
  weights: readonly number[],
  recordOf: (action: JointAction) => Record<string, number>,
): Metrics {
  const known = new Map<string, { values: number[]; weights: number[] }>()
  for (const [row, action] of joints.entries()) {
    for (const [name, value] of Object.entries(recordOf(action))) {
      if (!Number.isFinite(value)) continue
      const own = known.get(name) ?? { values: [], weights: [] }
      own.values.push(value)
      own.weights.push(weights[row]!)
      known.set(name, own)
    }
  }
  return Object.fromEntries([...known].map(([name, own]) => [prefix + name, weightedMean(own.values, own.weights)]))
}
