import test from 'ava'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { codePrompt, parametersOf } from '../../lib/tasks/code/prompts.ts'
import { codeTask } from '../../lib/tasks/code/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'

const item: CodeItem = {
  prompt: 'def add(a: int, b: int = 2) -> int:\n    """ Adds. """\n',
  test: 'def check(candidate):\n    assert candidate(1, 2) == 3\n',
  entry_point: 'add',
}

function completion(text: string): Completion {
  return { text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }
}

test('the two prompts hold the problem, the rules and a skeleton, and only the main one names the entry point', (t) => {
  const aux = codePrompt(item, 0)
  const main = codePrompt(item, 1)
  for (const prompt of [aux, main]) {
    t.true(prompt.includes(item.prompt))
    t.regex(prompt, /no explanation/)
    t.regex(prompt, /No markdown/)
    t.regex(prompt, /return result/)
  }
  t.true(aux.includes('def aux(...):'))
  t.false(aux.includes("'add'"))
  t.true(main.includes('def add(a: int, b: int = 2):'))
  t.true(main.includes('aux(...)'))
  const alone = codePrompt(item, 0, 1)
  t.false(alone.includes('aux'))
  t.true(alone.includes('def add('))
})

test('parameters come from the first def that has some; without any the skeleton stays open', (t) => {
  t.is(parametersOf('def g():\n    pass\ndef f(x,  y):\n    pass\n'), 'x, y')
  t.is(parametersOf('Write a function f.'), '...')
})

test('a code task scores, and ends its sandbox', async (t) => {
  const task = codeTask({ items: [item], heldOut: [item], name: 'adding' })
  t.deepEqual(task.agents, ['aux', 'main'])
  t.is(task.maxReward, 4)
  const joint = [
    completion('def aux(a, b):\n    return a + b\n'),
    completion('def add(a, b=2):\n    s = aux(a, b)\n    return s * 1\n'),
  ]
  const result = await task.reward(item, joint, { signal: new AbortController().signal })
  t.is((result as { total: number }).total, 4)
  await task.dispose?.()
  const single = codeTask({ items: [item], agents: 1 })
  t.deepEqual(single.agents, ['main'])
  t.is(single.maxReward, 2.1)
})

test('a broken item is refused when the task is made, with its place', (t) => {
  const broken = { ...item, test: undefined } as unknown as CodeItem
  const error = t.throws(() => codeTask({ items: [item, broken] }))
  t.is((error as { code?: string }).code, 'ERR_DATA')
  t.regex(error?.message ?? '', /"test" of items\[1\]/)
})
