/** The supervised mix that the mini-code model is made of: every situation an agent can be in, and what it may write there. */

import {
  type Fold,
  folds,
  type Predicate,
  type Problem,
  predicates,
  type Transformation,
  transformations,
} from '../../lib/tasks/mini-code/grammar.ts'
import { type MiniCodeFeedback, miniCodeFeedbacks } from '../../lib/tasks/mini-code/options.ts'
import { type MiniCodeItem, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { agentPrompt, alonePrompt, shownPrompt } from '../../lib/tasks/mini-code/prompts.ts'
import { seededRandom, shuffled } from '../../lib/tasks/mini-code/random.ts'
import {
  aloneSolution,
  auxSolution,
  type Convention,
  conventions,
  mainSolution,
} from '../../lib/tasks/mini-code/solutions.ts'

/** A sample whose prompt is known from the start. */
export interface PromptedSample {
  /**
   * `first`: an agent that sees the problem alone, with any convention; `shown`: one that sees the other's code, nearly always with
   * that code's convention; `alone`: the entry point without a helper.
   */
  situation: 'first' | 'shown' | 'alone'
  item: MiniCodeItem
  /** 0 writes `aux`, 1 the entry point. */
  agent: number
  /** `null` without a helper. */
  convention: Convention | null
  prompt: string
  completion: string
}

/** A sample that answers feedback: its prompt is what the task's transition says after `answers`. */
export interface RevisionSample {
  situation: 'revision'
  item: MiniCodeItem
  agent: number
  convention: Convention
  feedback: MiniCodeFeedback
  /** What both agents wrote in the first turn. */
  answers: [aux: string, main: string]
  completion: string
}

/** One line of the mix. */
export type SupervisedSample = PromptedSample | RevisionSample

/** Joint programs revised in one run of the mix; each is read with `level_feedback` and with one of the other modes, in turn. */
const revisedPrograms = 3

/**
 * Share of `shown` samples in which the agent has its own idea, any, whatever it is shown, and of `alone` samples with a wrong entry
 * of the grammar: a model of the mix mostly does right, and not always. This is what keeps the untrained pipeline and the untrained
 * single model from being perfect.
 */
const astrayShare = 1 / 16

/** Share of revised programs in which an agent has put a wrong entry of the grammar. */
const slipShare = 0.1

/**
 * Samples for supervised training without end, in runs of 38, shuffled: each agent with each convention twice as `first` and
 * once as `shown` (the convention is that of the code it sees), two `alone`, and 12 revisions. A model of them knows every
 * convention, prefers none, and as `first` says nothing about its partner's choice.
 *
 * A revision leaves a program that passes as it is. After one that fails, an agent keeps its own convention or takes its
 * partner's, both equally often and whatever the partner does: who should give way is not for the mix to say.
 */
export function* supervisedSamples(items: readonly MiniCodeItem[], seed: number): Generator<SupervisedSample, never> {
  const random = seededRandom(seed)
  const pick = pickWith(random)
  const roles = [0, 1].flatMap((agent) => conventions.map((convention) => ({ agent, convention })))
  const signals = miniCodeFeedbacks.filter((feedback) => feedback !== 'level_feedback')
  for (;;) {
    const first = [...roles, ...roles].map((role) => firstSample(pick(items), role))
    const shown = roles.map((role) => shownSample(pick(items), role, random() < astrayShare ? pick(conventions) : null))
    const alone = [0, 1].map(() => aloneSample(pick(items), random))
    const revisions = Array.from({ length: revisedPrograms }, (_, index) => {
      const feedbacks = ['level_feedback', signals[index % signals.length]!] as const
      return revisionSamples(pick(items), feedbacks, random)
    })
    yield* shuffled<SupervisedSample>([...first, ...shown, ...alone, ...revisions.flat()], random)
  }
}

interface Role {
  agent: number
  convention: Convention
}

const solution = (problem: Problem, { agent, convention }: Role) =>
  agent === 0 ? auxSolution(problem, convention) : mainSolution(problem, convention)

function firstSample(item: MiniCodeItem, role: Role): PromptedSample {
  const prompt = agentPrompt(item.prompt, role.agent)
  return { situation: 'first', item, ...role, prompt, completion: solution(problemOf(item), role) }
}

function shownSample(item: MiniCodeItem, { agent, convention }: Role, ownIdea: Convention | null): PromptedSample {
  const problem = problemOf(item)
  const prompt = shownPrompt(item.prompt, agent, solution(problem, { agent: 1 - agent, convention }))
  const role = { agent, convention: ownIdea ?? convention }
  return { situation: 'shown', item, ...role, prompt, completion: solution(problem, role) }
}

function aloneSample(item: MiniCodeItem, random: () => number): PromptedSample {
  const problem = problemOf(item)
  const completion = aloneSolution(random() < astrayShare ? slipped(problem, pickWith(random)) : problem)
  return { situation: 'alone', item, agent: 1, convention: null, prompt: alonePrompt(item.prompt), completion }
}

function revisionSamples(
  item: MiniCodeItem,
  feedbacks: readonly MiniCodeFeedback[],
  random: () => number,
): RevisionSample[] {
  const pick = pickWith(random)
  const problem = problemOf(item)
  const meant = [pick(conventions), pick(conventions)] as const
  const slips = random() < slipShare ? pick([0, 1]) : null
  const write = (agent: 0 | 1) =>
    solution(agent === slips ? slipped(problem, pick) : problem, { agent, convention: meant[agent] })
  const answers: RevisionSample['answers'] = [write(0), write(1)]
  return feedbacks.flatMap((feedback) =>
    ([0, 1] as const).map((agent): RevisionSample => {
      const convention = random() < 0.5 ? meant[agent] : meant[agent === 0 ? 1 : 0]
      const completion = solution(problem, { agent, convention })
      return { situation: 'revision', item, agent, convention, feedback, answers, completion }
    }),
  )
}

type Pick = <T>(values: readonly T[]) => T

const pickWith =
  (random: () => number): Pick =>
  (values) =>
    values[Math.floor(random() * values.length)]!

/** The problem with another entry of the grammar in one place. */
function slipped(problem: Problem, pick: Pick): Problem {
  const part = pick(['predicate', 'transformation', 'fold'] as const)
  const entries = { predicate: predicates, transformation: transformations, fold: folds }
  return { ...problem, [part]: pick<Predicate | Transformation | Fold>(entries[part]) }
}
