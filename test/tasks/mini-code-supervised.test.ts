import test from 'ava'
import { auxConvention, mainConvention } from '../../lib/tasks/mini-code/convention.ts'
import { folds, predicates, transformations } from '../../lib/tasks/mini-code/grammar.ts'
import { type MiniCodeItem, miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import {
  aloneSolution,
  auxSolution,
  type Convention,
  conventions,
  mainSolution,
} from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import {
  type PromptedSample,
  type RevisionSample,
  type SupervisedSample,
  supervisedSamples,
} from '../../models/mini-code/supervised.ts'

const items = miniCodeProblems().train.slice(0, 50)
const runLength = 38

function take(seed: number, count: number): SupervisedSample[] {
  const samples = supervisedSamples(items, seed)
  return Array.from({ length: count }, () => samples.next().value)
}
const all = take(1, 500 * runLength)
const prompted = (situation: PromptedSample['situation']) =>
  all.filter((sample): sample is PromptedSample => sample.situation === situation)
const revisions = all.filter((sample): sample is RevisionSample => sample.situation === 'revision')
const solutionOf = ({ item, agent, convention }: Pick<RevisionSample, 'item' | 'agent' | 'convention'>) =>
  agent === 0 ? auxSolution(problemOf(item), convention) : mainSolution(problemOf(item), convention)

/** The convention of the code in a prompt. */
const shownConvention = ({ agent, prompt }: PromptedSample): Convention =>
  (agent === 0 ? mainConvention : auxConvention)(prompt.slice(prompt.indexOf('# aux'))) as Convention

test('each run has every agent with every convention equally often, in random order, and repeats with its seed', (t) => {
  for (const agent of [0, 1])
    for (const name of conventions) {
      const own = prompted('first').filter((s) => s.agent === agent && s.convention === name)
      t.is(own.length, 1000)
      t.is(new Set(own.map((s) => s.item)).size, items.length)
      t.is(prompted('shown').filter((s) => s.agent === agent && shownConvention(s) === name).length, 500)
    }
  t.is(prompted('alone').length, 1000)
  t.is(revisions.length, 6000)
  t.is(revisions.filter(({ feedback }) => feedback === 'level_feedback').length, 3000)
  const opening = Array.from({ length: 100 }, (_, run) => all[runLength * run]!.situation)
  t.is(new Set(opening).size, 4)
  t.deepEqual(take(7, 50), take(7, 50))
  t.notDeepEqual(take(7, 50), take(8, 50))
})

test('first answers have their convention, and prompts are those of the task and its baselines', (t) => {
  const task = miniCode({ train: 1, heldOut: 0 })
  const { single, pipeline, discussion } = task.baselines!
  const said = (text: string) => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }) as const
  for (const sample of prompted('first').slice(0, 200)) {
    const { item, agent, convention, prompt, completion } = sample
    t.is(completion, solutionOf({ item, agent, convention: convention! }))
    t.is(prompt, task.observe(item, agent, []) as string)
  }
  for (const sample of prompted('shown').slice(0, 200)) {
    const { item, agent, convention, prompt, completion } = sample
    const other = solutionOf({ item, agent: 1 - agent, convention: shownConvention(sample) })
    t.is(completion, solutionOf({ item, agent, convention: convention! }))
    t.is(prompt, discussion!(item, agent, [said(other)]) as string)
    if (agent === 1) t.is(prompt, pipeline!(item, 1, [said(other)]) as string)
  }
  for (const { item, prompt } of prompted('alone').slice(0, 50)) t.is(prompt, single!.prompt(item) as string)
})

test('about one in 17 programs written alone is wrong', (t) => {
  const right = prompted('alone').filter(({ item, completion }) => completion === aloneSolution(problemOf(item)))
  // What is not right is the solution with one entry of the grammar in the place of another.
  const slips = (item: MiniCodeItem) => {
    const problem = problemOf(item)
    const others = [
      ...predicates.map((predicate) => ({ ...problem, predicate })),
      ...transformations.map((transformation) => ({ ...problem, transformation })),
      ...folds.map((fold) => ({ ...problem, fold })),
    ]
    return new Set(others.map(aloneSolution))
  }
  for (const sample of prompted('alone').filter((each) => !right.includes(each)))
    t.true(slips(sample.item).has(sample.completion), sample.completion)
  t.true(Math.abs(right.length / prompted('alone').length - 0.943) < 0.03, String(right.length))
})

test('about one in 21 agents does not fit the code it is shown', (t) => {
  const shown = prompted('shown')
  const astray = shown.filter((sample) => sample.convention !== shownConvention(sample)).length
  t.true(Math.abs(astray / shown.length - 3 / 64) < 0.01, `${astray} of ${shown.length}`)
})

test('revisions keep what passes; else an agent keeps its convention or takes its partner’s, equally often', (t) => {
  const counts = { clash: 0, kept: 0, slips: 0, corrected: 0 }
  for (const sample of revisions) {
    const { item, agent, convention, answers, completion } = sample
    const meant = [auxConvention(answers[0]), mainConvention(answers[1])]
    const isRight = answers.map((text, i) => text === solutionOf({ item, agent: i, convention: meant[i] as never }))
    if (isRight.includes(false)) {
      counts.slips++
      if (!isRight[agent] && completion !== answers[agent]) counts.corrected++
    }
    t.is(completion, solutionOf({ item, agent, convention }))
    if (meant[0] === meant[1] && isRight[agent]) t.is(completion, answers[agent]!)
    else if (isRight[agent] && meant[0] !== meant[1]) {
      t.true(meant.includes(convention))
      counts.clash++
      if (convention === meant[agent]) counts.kept++
    }
  }
  t.true(Math.abs(counts.kept / counts.clash - 0.5) < 0.03, JSON.stringify(counts))
  t.true(counts.slips > 200 && counts.slips < 700 && counts.corrected > 50, JSON.stringify(counts))
})
