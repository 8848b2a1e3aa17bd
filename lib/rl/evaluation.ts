/** Evaluation on held-out items: sampled, as in training, and greedy. */
import { expectList } from '../base/arguments.ts'
import { ConfigError, MagrpoError } from '../base/errors.ts'
import { standardError } from '../base/statistics.ts'
import { describeThrown } from '../base/thrown.ts'
import { validate } from '../base/validate.ts'
import type { Sampling } from '../model/sampling.ts'
import { expectTask } from '../tasks/task/check-task.ts'
import type { Task } from '../tasks/task/types.ts'
import { fromFirst, type Ranks, rowShare, soleRank } from './backend/ranks.ts'
import { checkAgents, type TrainingBackend } from './backend/training-backend.ts'
import { type EvaluationOptions, evaluationSection, type LongPrompts } from './options/run.ts'
import { itemRewards } from './report/episodes.ts'
import { completionMetrics, onlyFinite, rewardMetrics, withPrefix } from './report/metrics.ts'
import { sampleRows } from './report/sample-rows.ts'
import { resolveSampling } from './resolve-options.ts'
import { surveyFirstPrompts } from './rollout/first-prompts.ts'
import type { StepItem } from './rollout/item-order.ts'
import { PromptLengths } from './rollout/long-prompts.ts'
import { itemsAtOnce, type RolloutPlan } from './rollout/plan.ts'
import { rewardTimeoutOf } from './rollout/reward-queue.ts'
import { type Rollout, rollOut } from './rollout/rollout.ts'
import { Row, slotsOf } from './rollout/row.ts'
import { inOrder, shareRollout } from './rollout/share-rollout.ts'
import { jointOf, type RolloutNode } from './rollout/tree.ts'
import type { EvalReport, Metrics, SampleRow } from './types/reports.ts'
import type { RewardCache } from './types/run-store.ts'

/** What `evaluate` takes besides the team. */
export interface EvaluateSettings<Item = unknown> extends EvaluationOptions {
  task: Task<Item>
  /** Defaults to `task.heldOut`, or to `task.items` where there are none. */
  items?: readonly Item[]
  /** Fields left out come from `task.defaults`, then from {@link Sampling}. */
  sampling?: Sampling
  /** Called after each batch with items done and items in all, greedy ones counted on their own. */
  onProgress?: (done: number, total: number) => void
  signal?: AbortSignal
}

/**
 * Mean reward, parts and metrics with any backend; see `evaluate`.
 *
 * @param index number of steps done before, for the report
 * @param memory where verdicts are remembered
 */
export async function evaluateBackend(
  backend: TrainingBackend,
  settings: EvaluateSettings,
  index = 0,
  memory?: RewardCache,
): Promise<EvalReport> {
  const { plan: whole, options } = evaluationPlan(backend, settings)
  const plan = await withoutSkipped(whole, options.longPrompts)
  const { samples, greedy: isGreedy, maxRows, logSamples } = options
  const ranks: Ranks = backend.ranks ?? soleRank
  const total = plan.chosen.length * (Number(samples > 0) + Number(isGreedy))
  const start = performance.now()
  const metrics: Metrics = {}
  const rows: SampleRow[] = []
  const names = backend.agents.map(({ name }) => name)
  let done = 0
  const pass = async (phase: 'eval' | 'greedy', passPlan: RolloutPlan) => {
    const rewards = memory && { memory, part: `${phase}/${index}` }
    const own = await rollOutAll({ ...passPlan, rewards, chosen: rowShare(plan.chosen, ranks) }, maxRows, {
      rowOf: (begin, items) => new Row(backend, `${phase}/${index}/${begin}`, slotsOf(items)),
      onItems: (items) => {
        done += items
        settings.onProgress?.(done, total)
      },
    })
    const { nodes } = await shareRollout(ranks, `${phase}/${index}`, own, plan.signal)
    const prefix = phase === 'eval' ? 'eval/' : 'eval/greedy/'
    Object.assign(metrics, withPrefix(prefix, describe(nodes, names)))
    const examined = await fromFirst(ranks, `examined/${phase}/${index}`, () => examine(plan, nodes))
    Object.assign(metrics, withPrefix(`${prefix}task/`, examined))
    const shown = nodes.filter(({ slot }) => slot < logSamples)
    rows.push(...shown.flatMap((node) => sampleRows(node, null, { step: index, phase, agents: names })))
  }
  if (samples > 0) await pass('eval', { ...plan, groupSize: samples })
  if (isGreedy) await pass('greedy', { ...plan, groupSize: 1, sampling: { ...plan.sampling, temperature: 0 } })
  return {
    index,
    score: metrics[samples > 0 ? 'eval/reward/mean' : 'eval/greedy/reward/mean']!,
    metrics: onlyFinite({ ...metrics, ...skippedMetric(plan) }),
    timings: { 'time/eval_s': (performance.now() - start) / 1000 },
    samples: rows,
  }
}

function evaluationPlan(backend: TrainingBackend, settings: EvaluateSettings) {
  const { task, items: given, sampling, onProgress: _, signal, ...rest } = settings
  expectTask(task, 'evaluate')
  checkAgents(backend.agents, task)
  if (given !== undefined) expectList(given, 'items of evaluate')
  const items = given ?? (task.heldOut?.length ? task.heldOut : task.items)
  if (items.length === 0) {
    throw new MagrpoError(
      'ERR_TASK',
      `Expected at least one item to evaluate task '${task.name}' on but received none.`,
    )
  }
  const drawing = resolveSampling(sampling, task.defaults, { greedy: true })
  const { value: options, issues: wrong } = validate(evaluationSection, rest)
  const issues = [...drawing.issues, ...(wrong ?? [])]
  if (options?.samples === 0 && !options.greedy)
    issues.push({ path: 'samples', message: 'expected an integer from 1 up (0 with greedy); received 0' })
  if ((options?.turns ?? 1) > 1 && !task.transition)
    issues.push({ path: 'turns', message: `expected a task with a transition for ${options!.turns} turns` })
  if (options === null || drawing.value === null || issues.length > 0) throw new ConfigError(issues, 'The evaluation')
  const plan: RolloutPlan = {
    engine: backend.engine,
    policies: backend.agents.map(({ policy }) => policy),
    task,
    items,
    chosen: items.map((_, item) => ({ item, slot: item })),
    sampling: drawing.value,
    groupSize: options.samples,
    laterGroupSize: 1,
    jointMode: 'align',
    turns: options.turns,
    terminationThreshold: null,
    lengths: new PromptLengths(backend, options.longPrompts, drawing.value.maxNewTokens),
    seed: options.seed,
    step: 0,
    rewardConcurrency: options.rewardConcurrency,
    rewardTimeoutMs: rewardTimeoutOf(options.rewardTimeoutMs, task.defaults),
    signal,
  }
  return { plan, options }
}

/** Looks at all first prompts, and leaves out the items that are too long if they are skipped. */
async function withoutSkipped(plan: RolloutPlan, longPrompts: LongPrompts): Promise<RolloutPlan> {
  const { task, items, chosen, lengths, signal } = plan
  const places = chosen.map(({ item }) => ({ items, item, isHeldOut: false }))
  const { tooLong } = await surveyFirstPrompts(task, places, lengths!, signal)
  if (longPrompts !== 'skip') return plan
  const skipped = new Set(tooLong.map(({ item }) => item))
  return { ...plan, chosen: chosen.filter(({ item }) => !skipped.has(item)) }
}

function skippedMetric({ items, chosen }: RolloutPlan): Metrics {
  return chosen.length === items.length ? {} : { 'eval/skipped_items': items.length - chosen.length }
}

/** Rolls out all items, so many at a time that a batch has at most `maxRows` completions. */
async function rollOutAll(
  plan: RolloutPlan,
  maxRows: number,
  { rowOf, onItems }: { rowOf(begin: number, items: readonly StepItem[]): Row; onItems(items: number): void },
): Promise<Rollout> {
  const size = itemsAtOnce(plan.groupSize, plan.policies.length, maxRows)
  const whole: Rollout = { nodes: [], generateSeconds: 0, rewardSeconds: 0, newTokens: 0 }
  for (let begin = 0; begin < plan.chosen.length; begin += size) {
    plan.signal?.throwIfAborted()
    const chosen = plan.chosen.slice(begin, begin + size)
    whole.nodes.push(...(await rollOut({ ...plan, chosen, row: rowOf(begin, chosen) })).nodes)
    onItems(chosen.length)
  }
  // Batches differ with the number of ranks, sums over nodes shall not.
  inOrder(whole.nodes)
  return whole
}

/** What the task says of all that was sampled, the last turn of each branch. */
async function examine(plan: RolloutPlan, nodes: readonly RolloutNode[]): Promise<Metrics> {
  const { task, items, signal = new AbortController().signal } = plan
  if (!task.examine) return {}
  const evaluated = nodes.flatMap((node) =>
    node.joints
      .filter(({ child }) => child === null)
      .map((action) => ({ item: items[node.item]!, joint: jointOf(node, action), reward: action.reward })),
  )
  return task.examine(evaluated, { signal }).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw new MagrpoError('ERR_TASK', `examine of task '${task.name}' threw: ${describeThrown(cause)}`, {
      details: { task: task.name },
      cause,
    })
  })
}

function describe(nodes: readonly RolloutNode[], agents: readonly string[]): Metrics {
  const rewards = itemRewards(nodes)
  // Of one item it is not known.
  const error: Metrics = rewards.length > 1 ? { 'reward/stderr': standardError(rewards) } : {}
  return { ...rewardMetrics(nodes), ...error, ...completionMetrics(nodes, agents) }
}
