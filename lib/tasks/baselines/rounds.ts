/** Each baseline as rounds of speech: who answers when, and what they are shown. */

import { MagrpoError } from '../../base/errors.ts'
import { type BaselineName, type BaselinePrompt, baselineNames, type SingleBaseline } from '../task/baselines.ts'
import type { Completion, Joint } from '../task/completion.ts'
import type { Task } from '../task/types.ts'

/** A baseline on one task, ready to be played. Completions are given as `said[round][agent]`. */
interface BaselinePlan<Item> {
  /** Names of those who play: the task's agents, or the one that writes everything. */
  players: string[]
  /** (rounds) numbers of the players who answer in each. All of a round answer in one batch. */
  rounds: number[][]
  prompt(item: Item, round: number, player: number, said: readonly Completion[][]): BaselinePrompt
  /** What the task scores, one completion an agent; null if the single model's answer cannot be taken apart. */
  joint(said: readonly Completion[][]): Joint | null
  /** {@link SingleBaseline.cut} of the single baseline, where it has one. */
  cut?(said: readonly Completion[][], random: number): Joint
  /** Token limit of a call over that of one agent of the team. */
  budget: number
}

/**
 * @throws MagrpoError `ERR_TASK` if a task has no prompts for a baseline, naming those it has
 */
export function checkBaseline<Item>(task: Task<Item>, baseline: BaselineName): void {
  const known = task.baselines ?? {}
  const playable = baselineNames.filter((name) => name === 'parallel' || known[name] !== undefined)
  if (playable.includes(baseline)) return
  throw new MagrpoError(
    'ERR_TASK',
    `Expected task '${task.name}' to have prompts for the baseline ${baseline}, but it has them for ${playable.join(', ')} only. ` +
      `Give the task a field baselines with ${baseline}.`,
    { details: { task: task.name, baseline } },
  )
}

/**
 * How a baseline is played on a task. Where the task shows its agents chat messages, the baseline's prompts become messages too.
 *
 * @throws MagrpoError `ERR_TASK` if the task has no prompts for the baseline
 */
export function baselinePlan<Item>(task: Task<Item>, baseline: BaselineName): BaselinePlan<Item> {
  checkBaseline(task, baseline)
  const { single, pipeline, discussion } = task.baselines ?? {}
  const agents = task.agents.map((_, agent) => agent)
  const observe = (item: Item, agent: number) => task.observe(item, agent, [])
  const inForm = (item: Item, prompt: BaselinePrompt): BaselinePrompt =>
    typeof prompt === 'string' && typeof observe(item, 0) !== 'string' ? [{ role: 'user', content: prompt }] : prompt
  const team = { players: [...task.agents], budget: 1 }
  switch (baseline) {
    case 'single':
      return singlePlan(task, single!, inForm)
    case 'parallel':
      return {
        ...team,
        rounds: [agents],
        prompt: (item, _round, agent) => observe(item, agent),
        joint: ([all]) => all!,
      }
    case 'pipeline':
      return {
        ...team,
        rounds: agents.map((agent) => [agent]),
        prompt: (item, round, agent, said) => inForm(item, pipeline!(item, agent, inTurn(said.slice(0, round)))),
        joint: inTurn,
      }
    case 'discussion':
      return {
        ...team,
        rounds: [agents, agents],
        prompt: (item, round, agent, said) => {
          if (round === 0) return observe(item, agent)
          const others = said[0]!.filter((_, other) => other !== agent)
          return inForm(item, discussion!(item, agent, others))
        },
        joint: ([, second]) => second!,
      }
  }
}

/** In a pipeline, round r is agent r's alone. */
const inTurn = (said: readonly Completion[][]): Joint => said.map((round, agent) => round[agent]!)

/** Name of the agent whose weights write everything. */
export function singleAgent<Item>(task: Task<Item>): string {
  const { single } = task.baselines ?? {}
  return single?.agent !== undefined && task.agents.includes(single.agent) ? single.agent : task.agents.at(-1)!
}

function singlePlan<Item>(
  task: Task<Item>,
  single: SingleBaseline<Item>,
  inForm: (item: Item, prompt: BaselinePrompt) => BaselinePrompt,
): BaselinePlan<Item> {
  const { cut, split, budget = 1 } = single
  return {
    players: [singleAgent(task)],
    rounds: [[0]],
    budget,
    prompt: (item) => inForm(item, single.prompt(item)),
    joint: (said) => {
      const whole = said[0]![0]!
      const texts = split(whole.text)
      return texts === null ? null : partsOf(whole, texts)
    },
    ...(cut && {
      cut: (said: readonly Completion[][], random: number) => {
        const whole = said[0]![0]!
        return partsOf(whole, split(whole.text) ?? cut(whole.text, random))
      },
    }),
  }
}

/** Parts of one completion as a task sees them: texts only, since tokens may lie across a cut. */
export function partsOf(whole: Completion, texts: readonly string[]): Joint {
  const ids = new Int32Array(0)
  return texts.map((text) => ({ text, ids, finish: whole.finish, logProbSum: whole.logProbSum }))
}

/** What counts as written where an answer could not be taken apart: all of it by the first agent, nothing by the others. */
export function undivided<Item>(task: Task<Item>, whole: Completion): Joint {
  return partsOf(
    whole,
    task.agents.map((_, agent) => (agent === 0 ? whole.text : '')),
  )
}
