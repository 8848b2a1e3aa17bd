/**
 * Plays a baseline on items: round by round, all items, samples and agents of a round in one batch, then the task's reward on what
 * the baseline counts as the joint completion.
 */
import type { z } from 'zod'
import { argumentError, expectInstance, expectList, expectObject } from '../base/arguments.ts'
import { ConfigError } from '../base/errors.ts'
import { integer, seed } from '../base/fields.ts'
import { uniform } from '../base/random.ts'
import { section, validate } from '../base/validate.ts'
import type { Sampling } from '../model/sampling.ts'
import type { Engine, EngineRequest } from '../rl/backend/engine.ts'
import { settingsOfSampling } from '../rl/options/elsewhere.ts'
import { maxRows, rewardCallShape } from '../rl/options/run.ts'
import { resolveSampling } from '../rl/resolve-options.ts'
import { itemsAtOnce } from '../rl/rollout/plan.ts'
import { rewardTimeoutOf, runRewards } from '../rl/rollout/reward-queue.ts'
import { completionOf } from '../rl/rollout/tree.ts'
import { backendOf } from '../rl/team/policy-engine.ts'
import { Team } from '../rl/team/team.ts'
import { baselinePlan, undivided } from '../tasks/baselines/rounds.ts'
import { type BaselineName, type BaselinePrompt, baselineNames } from '../tasks/task/baselines.ts'
import { expectTask } from '../tasks/task/check-task.ts'
import type { Completion, Joint } from '../tasks/task/completion.ts'
import type { Task } from '../tasks/task/types.ts'

const baselineShape = {
  /** Joint completions per item. Defaults to `1`. */
  samples: integer({ from: 1 }).default(1),
  /** Token limit of a single model's one call, instead of the task's multiple of `sampling.maxNewTokens`. */
  singleMaxNewTokens: integer({ from: 1 }).optional(),
  /** Equal seeds give equal samples. Defaults to `0`. */
  seed: seed().default(0),
  maxRows,
  ...rewardCallShape,
}

const baselineSection = section(baselineShape, {
  known: ['team', 'task', 'baseline', 'items', 'sampling', 'onProgress', 'signal'],
  elsewhere: settingsOfSampling,
})

/** What {@link playBaseline} takes besides the players. */
export interface BaselineSettings<Item = unknown> extends z.input<typeof baselineSection> {
  task: Task<Item>
  baseline: BaselineName
  /** Defaults to `task.heldOut`, or to `task.items` where there are none. */
  items?: readonly Item[]
  /** Fields left out come from `task.defaults`, then from {@link Sampling}; `maxNewTokens` is that of one agent of the team. */
  sampling?: Sampling
  /** Called after each batch with items done and items in all. */
  onProgress?: (done: number, total: number) => void
  signal?: AbortSignal
}

/** Who plays: an engine, and the number of each player's policy in it. */
interface BaselinePlayers {
  engine: Pick<Engine, 'generate'>
  agents: readonly { policy: number }[]
}

/** What one agent wrote in one round. */
export interface Utterance {
  /** Counted from 0. */
  round: number
  name: string
  prompt: BaselinePrompt
  completion: Completion
}

/** A joint completion and what the task said of it. */
export interface ScoredJoint {
  joint: Joint
  /** Null: the reward abstained. */
  reward: number | null
  parts: Record<string, number>
  /** Of `task.metrics`; empty without it. */
  metrics: Record<string, number>
}

/** One play of a baseline on one item. */
export interface BaselineSample extends ScoredJoint {
  /** Index into the items played. */
  item: number
  /** Counted from 0. */
  sample: number
  /** Everything that was generated, in order. */
  utterances: Utterance[]
  /** Whether a single model's answer could be taken apart as it was asked for; true for all other baselines. */
  isDivided: boolean
  /** The score with an answer that could not be taken apart cut by the task's fallback; only where it has one. */
  cut?: ScoredJoint
}

/**
 * Plays a baseline with a team, trained or not.
 *
 * The team has the task's agents, in order; for `single` it has one agent, of any name. The random streams are those of an
 * evaluation: `parallel` samples what `evaluate` samples with the same seed.
 *
 * @throws MagrpoError `ERR_TASK` if the task has no prompts for the baseline or the team is not the right size; ConfigError for
 *   settings out of range; what the reward and generation throw
 */
export async function playBaseline<Item>(settings: BaselineSettings<Item> & { team: Team }): Promise<BaselineSample[]> {
  expectObject(settings, 'settings of playBaseline')
  const { team, ...others } = settings
  expectInstance(team, Team, 'team of playBaseline')
  return playWith(backendOf(team), others)
}

/** {@link playBaseline} with players of any engine. */
export async function playWith<Item>(
  players: BaselinePlayers,
  given: BaselineSettings<Item>,
): Promise<BaselineSample[]> {
  const settings = resolveSettings(players, given)
  const { samples, maxRows, plan, onProgress, signal } = settings
  const items = [...settings.items.keys()]
  const size = itemsAtOnce(samples, plan.players.length, maxRows)
  const played: BaselineSample[] = []
  for (let begin = 0; begin < items.length; begin += size) {
    signal?.throwIfAborted()
    played.push(...(await playBatch(players, settings, items.slice(begin, begin + size))))
    onProgress?.(Math.min(begin + size, items.length), items.length)
  }
  return played
}

/** Generation alone, all rounds of one item and one sample; for timing. */
export async function generateOnce<Item>(
  players: BaselinePlayers,
  settings: BaselineSettings<Item>,
  item: number,
): Promise<void> {
  await speak(players, resolveSettings(players, { ...settings, samples: 1 }), [item])
}

/** Settings with their defaults, the plan of the baseline, and how its calls are sampled. */
type ResolvedSettings<Item> = ReturnType<typeof resolveSettings<Item>>

function resolveSettings<Item>({ agents }: BaselinePlayers, settings: BaselineSettings<Item>) {
  const { task, baseline, items: given, sampling: asked, onProgress, signal, ...rest } = settings
  expectTask(task, 'playBaseline')
  if (given !== undefined) expectList(given, 'items of playBaseline')
  if (typeof baseline !== 'string') throw argumentError(baselineNames.join(', '), 'baseline', baseline)
  const plan = baselinePlan(task, baseline)
  const items = given ?? (task.heldOut?.length ? task.heldOut : task.items)
  const { value, issues: wrong } = validate(baselineSection, rest)
  const drawing = resolveSampling(asked, task.defaults, { greedy: true })
  const issues = [...drawing.issues, ...(wrong ?? [])]
  if (agents.length !== plan.players.length) {
    const players = `${plan.players.length} for ${baseline} on task '${task.name}' (${plan.players.join(', ')})`
    issues.push({ path: 'team', message: `expected ${players}, received ${agents.length}` })
  }
  if (value === null || drawing.value === null || issues.length > 0)
    throw new ConfigError(issues, `The baseline ${baseline}`)
  const own = baseline === 'single' ? value.singleMaxNewTokens : undefined
  const sampling = { ...drawing.value, maxNewTokens: own ?? Math.round(drawing.value.maxNewTokens * plan.budget) }
  return { ...value, task, items, plan, sampling, onProgress, signal }
}

/** @param chosen indices of the items to be played */
async function playBatch<Item>(
  players: BaselinePlayers,
  settings: ResolvedSettings<Item>,
  chosen: readonly number[],
): Promise<BaselineSample[]> {
  const { seed, task, plan } = settings
  const plays = await speak(players, settings, chosen)
  const divided = plays.map(({ said }) => plan.joint(said))
  const joints = divided.map((joint, number) => joint ?? undivided(task, plays[number]!.said[0]![0]!))
  const { cut } = plan
  const cuts = cut ? plays.map(({ item, sample, said }) => cut(said, uniform(seed, item, sample))) : []
  const scored = await score(settings, plays, [...joints, ...cuts])
  return plays.map(({ said: _, ...play }, number) => ({
    ...play,
    isDivided: divided[number] !== null,
    ...scored[number]!,
    ...(cut && { cut: scored[plays.length + number]! }),
  }))
}

/** One play: what was said by round and player, and the same in order with the prompts. */
interface Play extends Pick<BaselineSample, 'item' | 'sample' | 'utterances'> {
  said: Completion[][]
}

/** Lets everybody speak; plays in the order of items, then samples. */
async function speak<Item>(
  { engine, agents }: BaselinePlayers,
  { samples, seed, items, plan, sampling, signal }: ResolvedSettings<Item>,
  chosen: readonly number[],
): Promise<Play[]> {
  const plays = chosen.flatMap((item) =>
    Array.from({ length: samples }, (_, sample): Play => ({ item, sample, utterances: [], said: [] })),
  )
  for (const [round, speakers] of plan.rounds.entries()) {
    const calls = plays.flatMap((play) =>
      speakers.map((player) => ({
        play,
        player,
        prompt: plan.prompt(items[play.item]!, round, player, play.said),
      })),
    )
    const requests = calls.map(({ play, player, prompt }): EngineRequest => {
      const { item, sample } = play
      const stream = { seed, step: 0, agent: player, prompt: item, sample: round * samples + sample }
      return { policy: agents[player]!.policy, prompt, count: 1, stream }
    })
    const { generations } = await engine.generate(requests, sampling, { signal })
    for (const { said } of plays) said.push([])
    for (const [index, { play, player, prompt }] of calls.entries()) {
      const completion = completionOf(generations[index]!.samples[0]!)
      play.said[round]![player] = completion
      play.utterances.push({ round, name: plan.players[player]!, prompt, completion })
    }
  }
  return plays
}

/** @param joints of the plays, in their order, once or several times over */
async function score<Item>(
  { task, items, rewardConcurrency, rewardTimeoutMs, signal }: ResolvedSettings<Item>,
  plays: readonly Play[],
  joints: readonly Joint[],
): Promise<ScoredJoint[]> {
  const jobs = joints.map((joint, number) => {
    const { item: index } = plays[number % plays.length]!
    return { item: items[index]!, index, joint }
  })
  const timeoutMs = rewardTimeoutOf(rewardTimeoutMs, task.defaults)
  const outcomes = await runRewards(task, jobs, { concurrency: rewardConcurrency, timeoutMs, signal })
  return outcomes.map(({ reward, parts }, number) => {
    const { item, joint } = jobs[number]!
    return { joint, reward, parts, metrics: task.metrics?.(item, joint) ?? {} }
  })
}
