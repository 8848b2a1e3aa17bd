import test from 'ava'
import { evaluateBackend } from '../../lib/rl/evaluation.ts'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { cooperationLabels } from '../../lib/tasks/code/cooperation.ts'
import {
  CooperationMemory,
  cooperationMetrics,
  cooperationReport,
  cooperationReportMetrics,
} from '../../lib/tasks/code/cooperation-report.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { codeTask } from '../../lib/tasks/code/task.ts'
import { miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { auxSolution, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import type { Joint } from '../../lib/tasks/task/completion.ts'
import type { EvaluatedJoint } from '../../lib/tasks/task/types.ts'
import { TableEngine, tableBackend } from '../rl/support/table-engine.ts'
import { complementTask, type ToyItem } from '../rl/support/toy-task.ts'

let sandbox: PythonSandbox

test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 2 })
})

test.after.always(() => sandbox?.dispose())

const item: CodeItem = {
  prompt: 'def total(xs):\n    """ Sum of the squares. """\n',
  test: 'def check(candidate):\n    assert candidate([1, 2]) == 5\n    assert candidate([]) == 0\n',
  entry_point: 'total',
}
const square = 'def aux(x):\n    return x * x\n'
const coordinator = 'def total(xs):\n    return sum(aux(x) for x in xs)\n'
const alone = 'def total(xs):\n    return sum(x * x for x in xs)\n'

const jointOf = (...texts: string[]): Joint =>
  texts.map((text) => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }))

test('the shares of a sample add up to 1', (t) => {
  for (const primary of [...cooperationLabels, null]) {
    const metrics = cooperationMetrics({ primary, labels: [], features: null })
    t.is(
      Object.values(metrics).reduce((sum, value) => sum + value, 0),
      1,
    )
    t.is(metrics[`cooperation/${primary ?? 'no_program'}`], 1)
  }
})

test('readings are kept by text and the oldest forgotten', (t) => {
  const memory = new CooperationMemory(2)
  const reading = { primary: 'wrapper', labels: ['wrapper'], features: null } as const
  for (const text of ['a', 'b', 'c']) memory.note('f', [text, 'm'], { ...reading, labels: [...reading.labels] })
  memory.note('f', ['d', 'm'], null)
  t.deepEqual(memory.metrics('f', ['a', 'm']), {})
  t.deepEqual(memory.metrics('f', ['d', 'm']), {})
  t.deepEqual(memory.metrics('g', ['c', 'm']), {})
  t.is(memory.metrics('f', ['c', 'm'])['cooperation/wrapper'], 1)
})

test('a code task labels what it has rewarded, under both sets of rules, without a request of its own', async (t) => {
  for (const rules of ['strict', 'paper'] as const) {
    const actions: string[] = []
    const spied = new Proxy(sandbox, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...given: unknown[]) => {
          actions.push(String(name))
          return value.apply(target, given)
        }
      },
    })
    const task = codeTask({ items: [item], rules, sandbox: spied })
    const context = { signal: new AbortController().signal }
    await task.reward(item, jointOf(square, coordinator), context)
    t.is(task.metrics!(item, jointOf(square, coordinator))['cooperation/coordinator'], 1)
    await task.reward(item, jointOf(square, alone), context)
    t.is(task.metrics!(item, jointOf(square, alone))['cooperation/no_call'], 1)
    await task.reward(item, jointOf(square, 'sorry'), context)
    t.is(task.metrics!(item, jointOf(square, 'sorry'))['cooperation/no_program'], 1)
    t.deepEqual(actions, ['runCode', 'runCode', 'runCode'])
    await task.dispose?.()
  }
})

test('a single agent has no cooperation', async (t) => {
  const task = codeTask({ items: [item], agents: 1, sandbox })
  t.is(task.metrics, undefined)
  t.is(task.examine, undefined)
  await task.reward(item, jointOf(alone), { signal: new AbortController().signal })
})

test('a report of reading and running', async (t) => {
  const samples = [coordinator, coordinator, alone, 'sorry'].map((main) => ({ item, texts: [square, main] }))
  const report = await cooperationReport(samples, { sandbox })
  t.is(report.samples, 4)
  t.is(report.examined, 3)
  t.like(report.primary, { coordinator: 0.5, no_call: 0.25, no_program: 0.25, fallback: 0 })
  t.is(report.labels.coordinator, 0.5)
  t.deepEqual(report.confirmed, { coordinator: 1, no_call: 1 })
  const third = (a: number, b: number, c: number) => (a + b + c) / 3
  t.like(report.means, {
    p0: 1,
    pNone: third(0.5, 0.5, 1),
    usefulness: third(0.5, 0.5, 0),
    callsPerTest: third(1, 1, 0),
  })
  const metrics = cooperationReportMetrics(report)
  t.like(metrics, { 'cooperation/examined': 3, 'cooperation/p0': 1, 'cooperation/confirmed_coordinator': 1 })
  t.is(metrics['cooperation/p_none'], report.means!.pNone)
  t.is(metrics['cooperation/calls_per_test'], report.means!.callsPerTest!)
  const few = await cooperationReport(samples, { sandbox, experiments: 2 })
  t.is(few.samples, 4)
  t.is(few.examined, 2)
  const none = await cooperationReport(samples, { sandbox, experiments: 0 })
  t.deepEqual([none.examined, none.means, none.confirmed], [0, null, {}])
  t.is((await cooperationReport([], { sandbox })).primary.other, 0)
})

test('a code task examines an evaluation', async (t) => {
  const task = codeTask({ items: [item], sandbox, experiments: 1 })
  const { signal } = new AbortController()
  const evaluated = [coordinator, alone].map((main) => ({ item, joint: jointOf(square, main), reward: 0 }))
  const metrics = await task.examine!(evaluated, { signal })
  t.like(metrics, { 'cooperation/examined': 1, 'cooperation/usefulness': 0.5 })
  const off = codeTask({ items: [item], sandbox, experiments: 0 })
  t.deepEqual(await off.examine!(evaluated, { signal }), {})
})

test('mini-code: what its conventions are as schemes, in metrics and in examine', async (t) => {
  const task = miniCode({ sandbox, experiments: 2 })
  const { signal } = new AbortController()
  const problem = miniCodeProblems().train[0]!
  const expected = {
    predicate: 'strategy_filter',
    transformation: 'coordinator',
    list: 'decorator',
    fold: 'decorator',
  } as const
  for (const [convention, label] of Object.entries(expected) as [keyof typeof expected, string][]) {
    const texts = [auxSolution(problemOf(problem), convention), mainSolution(problemOf(problem), convention)]
    const joint = jointOf(...texts)
    t.deepEqual(
      Object.keys(task.metrics!(problem, joint)).filter((name) => name.startsWith('cooperation/')),
      [],
    )
    await task.reward(problem, joint, { signal })
    t.is(task.metrics!(problem, joint)[`cooperation/${label}`], 1, convention)
    const metrics = await task.examine!([{ item: problem, joint, reward: 1 }], { signal })
    t.is(metrics['cooperation/p0'], 1)
    t.true(metrics['cooperation/usefulness']! > 0, convention)
  }
})

test('an evaluation hands all its samples to examine and reports its numbers', async (t) => {
  const engine = new TableEngine(2, { prompts: 2, positions: 1, tokens: 4 })
  const players = tableBackend(engine, ['left', 'right'])
  const seen: EvaluatedJoint<ToyItem>[][] = []
  const examine = async (evaluated: readonly EvaluatedJoint<ToyItem>[]) => {
    seen.push([...evaluated])
    return { found: evaluated.length }
  }
  const report = await evaluateBackend(players, { task: complementTask({ examine }), samples: 3, maxRows: 2 })
  t.is(report.metrics['eval/task/found'], 6)
  t.is(report.metrics['eval/greedy/task/found'], 2)
  const rewards = seen[0]!.map(({ reward }) => reward!)
  t.is(report.metrics['eval/reward/mean'], rewards.reduce((sum, reward) => sum + reward, 0) / 6)
  t.true(seen[0]!.every(({ joint, item }) => joint.length === 2 && item !== undefined))
  const failing = complementTask({ examine: () => Promise.reject(new Error('no sandbox')) })
  await t.throwsAsync(evaluateBackend(players, { task: failing }), { code: 'ERR_TASK', message: /examine.*no sandbox/ })
})
