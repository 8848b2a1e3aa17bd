import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { type CodeReward, createCodeReward } from '../../lib/tasks/code/reward.ts'
import { post } from '../../lib/tasks/tldr/baselines.ts'

let sandbox: PythonSandbox
let reward: CodeReward

test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 2, limits: { programCpuSeconds: 2, cpuSeconds: 1 } })
  reward = createCodeReward({ rules: 'strict', sandbox })
})

test.after.always(() => sandbox?.dispose())

const item: CodeItem = {
  prompt: 'def total(xs):\n    """Sum of the squares."""\n',
  test: 'def check(candidate):\n    assert candidate([1, 2]) == 5\n    assert candidate([]) == 0\n',
  entry_point: 'total',
}
const aux = 'def aux(x):\n    return x * x\n'
const main = 'def total(xs):\n    result = 0\n    for x in xs:\n        result += aux(x)\n    return result\n'
const fence = (text: string, mark = '```', language = 'python') => `${mark}${language}\n${text}${mark}\n`
const draft = fence('def aux(x) return\n')

const answers: [name: string, aux: string, total: number][] = [
  ['a thought', `<think>\nthe square\n</think>\n\n${aux}`, 4],
  ['an empty thought', `<think>\n\n</think>\n${fence(aux)}`, 4],
  ['a thought that began in the prompt', `the square, def aux(x): or so</think>\n${aux}`, 4],
  ['a draft in a thought', `<think>\nMaybe\n${draft}no wait\n</think>\n${fence(aux)}`, 4],
  ['a draft in an open fence of a thought', `<think>\n\`\`\`python\ndef aux(x):\n</think>\n${fence(aux)}`, 4],
  ['a thought without end', `<think>\n${aux}`, 1.6],
  ['a text that holds the mark', `${aux}MARK = "</think>"\n`, 4],
  ['a draft before the answer', `First:\n${draft}Fixed:\n${fence(aux)}`, 4],
  ['a wrong draft before the answer', `${fence('def aux(x):\n    return 0\n')}Better:\n${fence(aux)}`, 4],
  [
    'parts that belong together',
    `${fence('import math\n')}and\n${fence('def aux(x):\n    return math.floor(x * x)\n')}`,
    4,
  ],
  ['one function in two blocks', `${fence('def aux(x):\n')}and\n${fence('    return x * x\n')}`, 0.6],
  ['an answer that does not compile', `${fence(aux)}Better:\n${draft}`, 1],
  ['a fence of four', fence(aux, '````'), 4],
  ['a fence within a longer one', fence(`${aux}TEXT = """\n\`\`\`\n"""\n`, '````'), 4],
  ['a fence of tildes, closed by more', `~~~python\n${aux}~~~~~\nwords`, 4],
  ['a fence that stays open', `\`\`\`python\n${aux}`, 4],
  ['a lambda', 'aux = lambda x: x * x\n', 4],
  ['a lambda with a type', 'import typing\naux: typing.Callable = lambda x: x * x\n', 4],
  ['something else of that name', 'aux = 3\n', 1.6],
]

for (const [name, text, expected] of answers)
  test(`${name} scores ${expected}`, async (t) => {
    const { total, parts } = await reward.score(item, [text, main])
    t.true(Math.abs(total - expected) < 1e-9, `${total}: ${JSON.stringify(parts)}`)
  })

test('feedback shows a lambda as the definition that it is', async (t) => {
  const { aux } = await reward.diagnose(item, ['aux = lambda x: x * x\n', main])
  t.deepEqual(aux, { source: 'aux = lambda x: x * x', reason: null, others: [] })
})

const lines = (count: number, line: (i: number) => string) => Array.from({ length: count }, (_, i) => line(i)).join('')
const long: [name: string, main: string][] = [
  ['a fence with blanks', `\`\`\`${' '.repeat(100_000)}\``],
  ['many fences', `${'```\n'.repeat(20_000)}${main}`],
  ['many kinds of fences', '```python\nx\n~~~\n'.repeat(10_000)],
  [
    'many branches',
    `def total(x):\n y=0\n${lines(400, (i) => ` if aux(x)>${i}: y=aux(y)\n else: y=y+aux(${i})\n`)} return y\n`,
  ],
  ['many returns', `def total(x):\n y=aux(x)\n${lines(3000, (i) => ` if y>${i}: return ${i}\n`)} return y\n`],
  ['many lost values', `def total(x):\n${lines(1500, (i) => ` v${i} = aux(x)\n`)} return 1\n`],
  [
    'many values read late',
    `def total(x):\n${lines(1500, (i) => ` v${i} = aux(x)\n`)} return [${lines(1500, (i) => `v${i},`)}]\n`,
  ],
  ['an import with blanks', `import${' '.repeat(100_000)}!\n${main}`],
  ['a long word', `def total(x):\n    ${'a'.repeat(100_000)}\n    y = aux(x)\n    return y\n`],
]

for (const [name, text] of long)
  test(`text that takes its time is read within two seconds of CPU time: ${name}`, async (t) => {
    for (const rules of ['strict', 'paper'] as const) {
      const request = {
        rules,
        aux,
        main: text,
        prompt: `${text}\n${item.prompt}`,
        entryPoint: 'total',
        test: item.test,
      }
      const { facts, tests } = await sandbox.runCode(request)
      t.true(facts.program !== '' || tests === null, `${rules}: ${tests?.message}`)
      const { error } = await sandbox.diagnose(request)
      t.not(error?.message, 'the program is too large to be read', rules)
    }
  })

test('a post with many blanks is read in time', (t) => {
  const started = process.cpuUsage().user
  t.is(post({ prompt: `${' '.repeat(200_000)}x TL;DR:\n `, completion: '' } as never), 'x')
  t.is(post({ prompt: `a${' '.repeat(200_000)}x TL;DR`, completion: '' } as never).length, 200_002)
  t.true(process.cpuUsage().user - started < 2e6)
})
