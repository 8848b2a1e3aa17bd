import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { signalLines } from '../../lib/tasks/mini-code/feedback.ts'
import { type MiniCodeFeedback, miniCodeFeedbacks } from '../../lib/tasks/mini-code/options.ts'
import { type MiniCodeItem, miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { auxSolution, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import type { Task } from '../../lib/tasks/task/types.ts'

const context = { signal: new AbortController().signal }
const written = (text: string): Completion => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 })
const item = miniCodeProblems().train.find(({ predicate, fold }) => predicate === 'above-3' && fold === 'sum')!
const problem = problemOf(item)
const aux = { predicate: auxSolution(problem, 'predicate'), list: auxSolution(problem, 'list') }
const main = { predicate: mainSolution(problem, 'predicate'), list: mainSolution(problem, 'list') }

let sandbox: PythonSandbox
test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 1 })
})
test.after.always(() => sandbox?.dispose())

async function nextPrompts(task: Task<MiniCodeItem>, answers: readonly string[]): Promise<string[]> {
  const joint = answers.map(written)
  const prompts = [0, 1].map((agent) => task.observe(item, agent, []))
  const next = await task.transition!(item, joint, [{ prompts, completions: joint }], context)
  return next === 'stop' ? [] : (next.prompts as string[])
}
const nextBy = (feedback: MiniCodeFeedback, answers: readonly string[]) =>
  nextPrompts(miniCode({ sandbox, feedback }), answers)

test('a clash: what each mode tells each agent, letter by letter', async (t) => {
  const clash = [aux.predicate, main.list]
  const [first, second] = [
    `${item.prompt}# write aux\n${aux.predicate}\n`,
    `${item.prompt}# write solve\n${main.list}\n`,
  ]
  const error = "# TypeError: '>' not supported between instances of 'list' and 'int'\n"
  t.deepEqual(await nextBy('plain', clash), [`${first}# write aux again\n`, `${second}# write solve again\n`])
  t.deepEqual(await nextBy('passed', clash), [
    `${first}# not all passed\n# write aux again\n`,
    `${second}# not all passed\n# write solve again\n`,
  ])
  t.deepEqual(await nextBy('level_passed', clash), [
    `${first}# code found, syntax right, tests none passed\n# write aux again\n`,
    `${second}# code found, syntax right, tests none passed, aux used\n# write solve again\n`,
  ])
  t.deepEqual(await nextBy('level_feedback', clash), [
    `${first}# aux found, solve found, syntax right, tests none passed\n${error}# write aux again\n`,
    `${second}# aux found, solve found, syntax right, tests none passed, aux used\n${error}# write solve again\n`,
  ])
})

test('level_feedback is the default, and nobody is shown the other one’s code', async (t) => {
  const answers = [aux.list, main.predicate]
  t.deepEqual(await nextPrompts(miniCode({ sandbox }), answers), await nextBy('level_feedback', answers))
  for (const feedback of miniCodeFeedbacks) {
    const [toAux, toMain] = await nextBy(feedback, answers)
    t.true(toAux!.includes(aux.list) && !toAux!.includes(main.predicate))
    t.true(toMain!.includes(main.predicate) && !toMain!.includes(aux.list))
  }
})

test('a program that passes: no error line', async (t) => {
  const answers = [aux.list, main.list]
  const [toAux] = await nextBy('level_feedback', answers)
  t.true(toAux!.endsWith(`# aux found, solve found, syntax right, tests all passed\n# write aux again\n`))
  const [, toMain] = await nextBy('passed', answers)
  t.true(toMain!.endsWith('\n# all passed\n# write solve again\n'))
})

test('passing tests without the helper is not passing', async (t) => {
  const alone = main.list.replace('aux(xs)', '[x for x in xs if x > 3]')
  const noTransformation = alone.replace('[x ', `[${problem.transformation.code} `)
  const [, toMain] = await nextBy('passed', [aux.list, noTransformation])
  t.regex(toMain!, /# not all passed/)
  const [, levels] = await nextBy('level_passed', [aux.list, noTransformation])
  t.true(levels!.includes(`tests all passed, aux not used`))
})

test('broken, missing and empty answers are told, and stay in plain ASCII', async (t) => {
  const [toAux, toMain] = await nextBy('level_feedback', ['', 'def solve(xs):\n    return aux(xs'])
  t.is(toAux, `${item.prompt}# write aux\n# aux missing, solve found, syntax wrong, tests not run\n# write aux again\n`)
  t.regex(toMain!, /return aux\(xs\n# aux missing, solve found, syntax wrong, tests not run, aux not used\n# write/)
  const strange = ['def aux(x):\n    return "\u{1f600}é"', main.list]
  const [shown] = await nextBy('plain', strange)
  t.regex(shown!, /^[\n -~]*$/)
  const raising = ['def aux(xs):\n    raise ValueError("aé" * 500)\n    return 1', main.list]
  const [, told] = await nextBy('level_feedback', raising)
  t.regex(told!, /# ValueError: [ -~]{0,80}\n# write solve again\n$/)
})

test('some tests of a program', (t) => {
  const facts = { aux: true, solve: true, syntax: true, usesAux: true, pass: false, error: 'AssertionError' }
  const lines = signalLines('level_feedback', 1, { ...facts, tests: { passed: 2, total: 5 } })
  t.deepEqual(lines, ['aux found, solve found, syntax right, tests 2 of 5 passed, aux used', 'AssertionError'])
})

test('a long error is cut and takes one line', (t) => {
  const facts = { aux: true, solve: true, syntax: true, usesAux: true, tests: { passed: 0, total: 4 }, pass: false }
  const [, line] = signalLines('level_feedback', 0, { ...facts, error: `E:\n${'x'.repeat(200)}` })
  t.is(line, `E: ${'x'.repeat(77)}`)
})

test('an unknown mode is refused by name', (t) => {
  t.throws(() => miniCode({ feedback: 'expert_edits' as MiniCodeFeedback }), {
    code: 'ERR_CONFIG',
    message: /feedback: unknown value "expert_edits"; known: plain, passed, level_passed, level_feedback/,
  })
})
