import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import type { CodeReport } from '../../lib/sandbox/types.ts'
import { miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { auxSolution, conventions, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import type { RewardResult } from '../../lib/tasks/task/types.ts'

const context = { signal: new AbortController().signal }
const written = (text: string): Completion => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 })
const joint = (aux: string, main: string) => [written(aux), written(main)]
const totalOf = (result: RewardResult) => (typeof result === 'object' ? result!.total! : result)

/** A sandbox that counts and lets everything pass. */
function obligingSandbox() {
  const facts = { structureAux: true, structureMain: true, syntax: true, hasAux: true, usesAux: true, wrapper: false }
  const report = {
    facts: { ...facts, asWritten: true, ignoresAux: false, program: '', prelude: '' },
    tests: { passed: 4, total: 4, timeouts: 0, forgeable: 0, reason: null, message: '', outcomes: [] },
  } satisfies CodeReport
  const seen: string[] = []
  let failures = 0
  return {
    seen,
    report: report as CodeReport,
    failNext: () => failures++,
    async runCode({ aux, main }: { aux: string | null; main: string }) {
      seen.push(`${aux} ${main}`)
      if (failures-- > 0) throw new Error('sandbox down')
      failures = 0
      return this.report
    },
  }
}

test('a program passes if both agents follow one convention, and fails if they do not', async (t) => {
  const sandbox = await PythonSandbox.start({ workers: 2 })
  t.teardown(() => sandbox.dispose())
  const task = miniCode({ sandbox })
  const { train, heldOut } = miniCodeProblems()
  const items = [...train.filter((_, i) => i % 2500 === 0), ...heldOut.filter((_, i) => i % 150 === 0)]
  await Promise.all(
    items.flatMap((item) =>
      conventions.flatMap((a) =>
        conventions.map(async (m) => {
          const problem = problemOf(item)
          const result = await task.reward(item, joint(auxSolution(problem, a), mainSolution(problem, m)), context)
          t.is(totalOf(result), a === m ? 1 : 0, `${item.task_id}: aux ${a}, main ${m}`)
        }),
      ),
    ),
  )
})

test('an entry point that solves the problem alone scores nothing', async (t) => {
  const task = miniCode()
  t.teardown(() => task.dispose?.())
  const item = miniCodeProblems().train[0]!
  const problem = problemOf(item)
  const aux = auxSolution(problem, 'predicate')
  const alone = mainSolution(problem, 'predicate').replace('aux(x)', problem.predicate.code)
  t.deepEqual(await task.reward(item, joint(aux, alone), context), {
    total: 0,
    parts: { pass: 0, syntax: 1, uses_aux: 0 },
    reason: 'solve does not call aux',
  })
  const together = joint(aux, mainSolution(problem, 'predicate'))
  t.deepEqual(await task.reward(item, together, context), { total: 1, parts: { pass: 1, syntax: 1, uses_aux: 1 } })
  const broken = joint('def aux(x):\n    return x +', mainSolution(problem, 'predicate'))
  t.deepEqual(await task.reward(item, broken, context), {
    total: 0,
    parts: { pass: 0, syntax: 0, uses_aux: 1 },
    reason: 'syntax: the program does not parse',
  })
  await task.dispose?.()
  await task.dispose?.()
})

test('what is no Python as a whole does not pass, whatever stands in it', async (t) => {
  const task = miniCode()
  t.teardown(() => task.dispose?.())
  const item = miniCodeProblems().train[0]!
  const problem = problemOf(item)
  const [aux, main] = [auxSolution(problem, 'fold'), mainSolution(problem, 'fold')]
  t.is(totalOf(await task.reward(item, joint(aux, main), context)), 1)
  const around = [
    'def aux folds\n',
    'def aux folds\ndef aux folds\n',
    'aux folds\n',
    'Here it is:\n',
    '```python\n',
    '?\n',
  ]
  const texts = [
    ...around.flatMap((text) => [joint(text + aux, main), joint(aux, text + main)]),
    joint(aux, `${main}\nThis is the function.`),
    joint(aux, `${main}\ndef solve(xs):\n    return [`),
  ]
  for (const each of texts) {
    const result = await task.reward(item, each, context)
    t.is(totalOf(result), 0, JSON.stringify(each.map(({ text }) => text)))
    t.like(result, { parts: { pass: 0, syntax: 0 } })
  }
})

test('equal programs run once, unless the sandbox failed', async (t) => {
  const sandbox = obligingSandbox()
  const task = miniCode({ sandbox: sandbox as unknown as PythonSandbox })
  const [first, second] = miniCodeProblems().train as [never, never]
  const same = () => task.reward(first, joint('a', 'm'), context)
  await Promise.all([same(), same(), same(), task.reward(first, joint('a', 'n'), context)])
  t.deepEqual(sandbox.seen, ['a m', 'a n'])
  await task.reward(second, joint('a', 'm'), context)
  t.is(sandbox.seen.length, 3)
  sandbox.failNext()
  await t.throwsAsync(async () => task.reward(first, joint('x', 'm'), context), { message: 'sandbox down' })
  t.is(totalOf(await task.reward(first, joint('x', 'm'), context)), 1)
})

test('a program without tests or with one failed assert does not pass', async (t) => {
  const sandbox = obligingSandbox()
  const task = miniCode({ sandbox: sandbox as unknown as PythonSandbox })
  const item = miniCodeProblems().train[0]!
  const { report } = sandbox
  for (const [index, tests] of [
    null,
    { ...report.tests!, total: 0, passed: 0 },
    { ...report.tests!, passed: 3 },
  ].entries()) {
    sandbox.report = { ...report, tests }
    t.is(totalOf(await task.reward(item, joint(`${index}`, 'm'), context)), 0)
  }
})

test('both agents see the problem and which function is theirs', (t) => {
  const task = miniCode({ train: 3, heldOut: 2 })
  const item = { ...task.items[0]!, prompt: 'def solve(xs):\n    """Return x."""\n' }
  t.is(task.observe(item, 0, []), 'def solve(xs):\n    """Return x."""\n# write aux\n')
  t.is(task.observe(item, 1, []), 'def solve(xs):\n    """Return x."""\n# write solve\n')
  t.is(task.items.length, 3)
  t.deepEqual(task.heldOut, miniCodeProblems().validation.slice(0, 2))
  t.deepEqual(miniCode({ evaluateOn: 'held-out' }).heldOut, miniCodeProblems().heldOut)
})

test('numbers of problems out of range are refused by name', (t) => {
  t.throws(() => miniCode({ train: 0 }), {
    code: 'ERR_CONFIG',
    message: /train: expected an integer from 1 up; received 0/,
  })
  t.throws(() => miniCode({ heldOut: 1e6 }), { code: 'ERR_CONFIG', message: /heldOut: .* received 1000000/ })
})
