import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { sliced } from '../../lib/tasks/code/feedback-analysis.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { type FeedbackMode, feedbackModes } from '../../lib/tasks/code/options.ts'
import { type CodeTaskOptions, codeTask } from '../../lib/tasks/code/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import type { Task, TurnHistory } from '../../lib/tasks/task/types.ts'
import { rejectsWith } from '../support/errors.ts'

const item: CodeItem = {
  prompt: 'def spread(xs):\n    """ Largest minus smallest. """\n',
  test: `def check(candidate):
    assert candidate([1, 4]) == 3
    assert candidate([5]) == 0, "one element"
    assert candidate([]) == 0
`,
  entry_point: 'spread',
}
const aux = 'def aux(xs):\n    return sorted(xs)\n'
const good = 'def spread(xs):\n    s = aux(xs)\n    return s[-1] - s[0] if s else 0\n'
const wrong = 'def spread(xs):\n    s = aux(xs)\n    return s[-1]\n'

let sandbox: PythonSandbox
test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 1 })
})
test.after.always(() => sandbox.dispose())

const signal = new AbortController().signal

function completion(text: string): Completion {
  return { text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }
}

/** The prompts that follow answers, turn after turn. */
async function promptsAfter(turns: string[][], options: Partial<CodeTaskOptions> = {}) {
  const agents = turns[0]!.length as 1 | 2
  const task: Task<CodeItem> = codeTask({ items: [item], agents, sandbox, ...options })
  const history: TurnHistory[] = []
  let prompts = task.agents.map((_, agent) => task.observe(item, agent, []))
  for (const texts of turns) {
    const completions = texts.map(completion)
    history.push({ prompts, completions })
    const next = await task.transition!(item, completions, history, { signal })
    if (next === 'stop') throw new Error('unexpected stop')
    prompts = next.prompts
  }
  return prompts as string[]
}

const own = (mode: FeedbackMode, ...texts: string[]) => promptsAfter([texts], { feedback: mode, sandboxSlice: 'all' })

test('plain: the first prompt, the own function and no signal', async (t) => {
  const [first, second] = await own('plain', aux, wrong)
  t.true(first!.includes(item.prompt.trim()))
  t.true(first!.includes(aux.trim()))
  t.true(second!.includes(wrong.trim()))
  for (const prompt of [first!, second!]) {
    t.regex(prompt, /revise/)
    t.notRegex(prompt, /passed|Syntax|Failed|levels/)
  }
})

test('passed: one binary line, the same for both', async (t) => {
  for (const prompt of await own('passed', aux, good)) t.regex(prompt, /^Result: all levels passed\.$/m)
  for (const prompt of await own('passed', aux, wrong)) t.regex(prompt, /^Result: not all levels passed\.$/m)
  for (const prompt of await own('passed', aux, 'nonsense')) t.regex(prompt, /not all levels passed/)
})

test('level_passed: a line a level; only the main author reads about aux', async (t) => {
  const [first, second] = await own('level_passed', aux, wrong)
  for (const prompt of [first!, second!]) {
    t.regex(prompt, /- Implementation: OK\n- Syntax: correct\n- Tests: none passed/)
    t.notRegex(prompt, /Failed:/)
  }
  t.notRegex(first!, /Use of aux/)
  t.regex(second!, /- Use of aux: aux is called and its result is used/)
  const [, partly] = await own('level_passed', aux, 'def spread(xs):\n    aux(xs)\n    return max(xs) - min(xs)\n')
  t.regex(partly!, /Tests: 2 of 3 passed/)
  t.regex(partly!, /its result is not used properly/)
  const [, missing] = await own('level_passed', aux, 'I cannot.')
  t.regex(missing!, /Implementation: missing/)
  t.regex(missing!, /the main function is missing/)
  t.regex(missing!, /# \(no function 'spread' was found in your answer\)/)
})

test('level_feedback: definitions, tests with their errors, use of aux', async (t) => {
  const [first, second] = await own('level_feedback', aux, wrong)
  for (const prompt of [first!, second!]) {
    t.true(prompt.includes('Definition of aux: found.\n- Definition of the main function: found.'))
    t.true(prompt.includes('Syntax of the whole program: OK.'))
    t.true(prompt.includes('Tests: 0 of 3 passed.'))
    t.true(prompt.includes('Failed: assert spread([1, 4]) == 3 -> AssertionError'))
    t.true(prompt.includes('Failed: assert spread([5]) == 0, "one element" -> AssertionError: one element'))
    t.regex(prompt, /Failed: assert spread\(\[\]\) == 0 -> IndexError: list index out of range/)
  }
  t.notRegex(first!, /Use of aux/)
  t.true(second!.includes('the main function calls aux and uses what it returns.'))
  const [, thin] = await own('level_feedback', aux, 'def spread(xs):\n    return aux(xs)\n')
  t.regex(thin!, /thin wrapper/)
  const body = 'def spread(xs):\n    aux(xs)\n    a = aux(xs)\n    b = aux(xs)\n    b = 0\n    return b\n'
  const [, misused] = await own('level_feedback', aux, body)
  t.true(
    misused!.includes(
      'the call in its line 2 drops the result; the result is put into a in its line 3 and never used.',
    ),
  )
  const [, lost] = await own('level_feedback', aux, 'def spread(xs):\n    b = aux(xs)\n    b = 0\n    return b\n')
  t.true(lost!.includes('the result in b of its line 2 is overwritten before it is used'))
  const [, alone] = await own('level_feedback', aux, 'def spread(xs):\n    return max(xs) - min(xs)\n')
  t.true(alone!.includes('the main function does not call aux.'))
})

test('level_feedback says where the syntax error is, and why a definition is missing', async (t) => {
  const [first, second] = await own(
    'level_feedback',
    'def helper(x):\n    return x\n',
    'def spread(xs):\n    return (1 +\n',
  )
  t.true(first!.includes('Definition of aux: missing: the answer defines helper instead.'))
  t.regex(second!, /Syntax of the whole program: error at line \d+, column \d+: .+\./)
  t.true(second!.includes('Tests: not run'))
  const [empty] = await own('level_feedback', '', 'def spread(xs):\n    print(xs)\n')
  t.true(empty!.includes('Definition of aux: missing: the answer was empty.'))
  t.true(empty!.includes('Definition of the main function: found, but it returns nothing.'))
  const [prose] = await own('level_feedback', 'Sorry.', good)
  t.true(prose!.includes('missing: the answer defines no function.'))
})

test('nobody reads the other agent, in any mode or turn', async (t) => {
  for (const feedback of feedbackModes.filter((mode) => mode !== 'expert_edits')) {
    const turns = [
      ['def aux(only_aux_1):\n    return 1\n', 'def spread(only_main_1):\n    return aux(1)\n'],
      ['def aux(only_aux_2):\n    return 1\n', 'def spread(only_main_2):\n    return aux(1)\n'],
    ]
    const [first, second] = await promptsAfter(turns, { feedback })
    t.notRegex(first!, /only_main/)
    t.notRegex(second!, /only_aux/)
    t.regex(first!, /only_aux_2/)
    t.regex(second!, /only_main_2/)
  }
})

test('level_feedback keeps every turn, each once', async (t) => {
  const turn = (n: number) => [aux.replace('xs', `xs${n}`), `def spread(v${n}):\n    return ${n}\n`]
  const [, second] = await promptsAfter([turn(1), turn(2), turn(3)])
  for (const n of [1, 2, 3]) {
    t.is(second!.split(`def spread(v${n})`).length, 2, `answer ${n}`)
    t.is(second!.split(`Turn ${n}, what you were asked:`).length, 2)
  }
  t.is(second!.split(item.prompt.trim()).length, 2)
  t.is(second!.split('Diagnostics of the last turn').length, 4)
})

test('single agents: the entry point only, and not a word on aux', async (t) => {
  for (const feedback of feedbackModes.filter((mode) => mode !== 'expert_edits')) {
    const [prompt, ...rest] = await promptsAfter([['def spread(xs):\n    return 1\n']], { feedback })
    t.is(rest.length, 0)
    t.notRegex(prompt!, /aux/)
    t.true(prompt!.includes('def spread(xs):\n    return 1'))
  }
})

test('the slice decides which tests are shown and counted', async (t) => {
  const answers = [[aux, 'def spread(xs):\n    s = aux(xs)\n    return s[-1] - s[0]\n']]
  const shown = async (sandboxSlice?: CodeTaskOptions['sandboxSlice']) =>
    /Tests: (\d of \d)/.exec((await promptsAfter(answers, { sandboxSlice }))[0]!)?.[1]
  t.is(await shown(), '1 of 1')
  t.is(await shown(2), '2 of 2')
  t.is(await shown(0), '2 of 3')
  t.is(await shown('all'), '2 of 3')
  t.is(await shown(-1), '0 of 1')
  const prompts = await promptsAfter(answers, { feedback: 'passed', sandboxSlice: 1 })
  t.regex(prompts[0]!, /all levels passed/)
  t.deepEqual(sliced([1, 2, 3], -5), [1, 2, 3])
  t.throws(() => codeTask({ items: [item], sandboxSlice: 1.5 }), {
    message: /sandboxSlice: expected int, or expected "all"/,
  })
})

test('paper rules: the published extraction decides what is seen', async (t) => {
  const prompts = await promptsAfter([[aux, `import os\n${wrong}`]], { rules: 'paper', sandboxSlice: 0 })
  t.regex(prompts[1]!, /Tests: 0 of 3 passed/)
  t.regex(prompts[1]!, /Failed: assert spread\(\[5\]\) == 0, "one element" -> AssertionError: one element/)
})

test('the own function and the first prompt can be left out', async (t) => {
  const options = { feedback: 'passed', originalPrompt: false, previousResponse: false } as const
  const [first] = await promptsAfter([[aux, good]], options)
  t.false(first!.includes('def aux'))
  t.false(first!.includes('Largest'))
  t.regex(first!, /^Result: all levels passed\./)
})

test('scale and shift move the total, its bounds and the threshold; the parts stay', async (t) => {
  const task = codeTask({ items: [item], sandbox, rewardShift: -4, rewardScale: 1 })
  const result = await task.reward(item, [completion(aux), completion(good)], { signal })
  t.deepEqual(result, { ...(result as object), total: 0 })
  t.is((result as { parts: Record<string, number> }).parts.raw, 4)
  t.is((result as { parts: Record<string, number> }).parts.tests, 1)
  t.is(task.maxReward, 0)
  t.is(task.minReward, -4)
  t.true(Math.abs(task.defaults!.terminationThreshold! + 0.2) < 1e-12)
  t.is(codeTask({ items: [item], agents: 1 }).defaults!.terminationThreshold, 2)
})

test('settings that cannot be are refused', async (t) => {
  const make = async (options: object) => codeTask({ items: [item], ...options })
  await rejectsWith(
    t,
    () => make({ feedback: 'loud' }),
    'ERR_CONFIG',
    'feedback: unknown value "loud"',
    'level_feedback',
  )
  await rejectsWith(t, () => make({ feedback: 'expert_edits' }), 'ERR_ARGUMENT', 'expert.url')
  await rejectsWith(t, () => make({ rewardScale: 0 }), 'ERR_CONFIG', 'rewardScale')
})

test('chat: every prompt is one user message with the same text', async (t) => {
  const turns = [
    [aux, wrong],
    [aux, good],
  ]
  const plain = await promptsAfter(turns)
  const messages = (await promptsAfter(turns, { chat: true })) as unknown[]
  t.deepEqual(
    messages,
    plain.map((content) => [{ role: 'user', content }]),
  )
  const task = codeTask({ items: [item], chat: true })
  t.like(task.observe(item, 0, []), [{ role: 'user' }])
})
