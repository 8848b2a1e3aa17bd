import test from 'ava'
import { playWith } from '../../lib/compare/play-baseline.ts'
import { arxiv } from '../../lib/tasks/arxiv/task.ts'
import { cutByRatio, splitAtDelimiter } from '../../lib/tasks/baselines/cut-text.ts'
import { codeTask } from '../../lib/tasks/code/task.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import { story } from '../../lib/tasks/story/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import type { Task } from '../../lib/tasks/task/types.ts'
import { tldr } from '../../lib/tasks/tldr/task.ts'
import { paragraphDelimiter } from '../../lib/tasks/writing/baselines.ts'
import { TextEngine } from './support/text-engine.ts'

const completion = (text: string): Completion => ({ text, ids: new Int32Array(0), finish: 'stop', logProbSum: 0 })
const post = { prompt: 'SUBREDDIT: r/cats\nPOST: My cat sleeps.\nTL;DR:' }
const paper = { abstract_text: 'We study cats.' }
const problem = {
  prompt: 'def solve(n):\n    """Double n."""\n',
  test: 'def check(candidate):\n    assert candidate(2) == 4\n',
  entry_point: 'solve',
}

test('tldr: targets of the published baselines, the post without its end', async (t) => {
  const { single, pipeline, discussion } = (await tldr({ train: [post] })).baselines!
  const whole = single!.prompt(post) as string
  for (const part of ['My cat sleeps.', '2 to 3 times', '10 to 200', paragraphDelimiter])
    t.true(whole.includes(part), part)
  t.false(whole.includes('TL;DR'))
  t.is(Math.round(256 * single!.budget!), 260)
  const first = 'word '.repeat(60)
  t.regex(pipeline!(post, 1, [completion(first)]) as string, /about 120 words/)
  t.regex(pipeline!(post, 1, [completion('A cat sleeps.')]) as string, /A cat sleeps\.[\s\S]*about 80 words/)
  t.notRegex(pipeline!(post, 0, []) as string, /words/)
  t.regex(discussion!(post, 0, [completion('LONG')]) as string, /LONG[\s\S]*2 to 3 times shorter/)
  t.regex(discussion!(post, 1, [completion('SHORT')]) as string, /SHORT[\s\S]*2 to 3 times longer/)
})

test('arxiv: equal paragraphs, 1.2 times the words, no background in the second', async (t) => {
  const { single, pipeline, discussion } = (await arxiv({ train: [paper] })).baselines!
  t.regex(single!.prompt(paper) as string, /We study cats\.[\s\S]*two paragraphs of the same length/)
  t.is(256 * single!.budget!, 512)
  const second = pipeline!(paper, 1, [completion('word '.repeat(100))]) as string
  t.regex(second, /about 120 words[\s\S]*Leave background and motivation out/)
  t.regex(discussion!(paper, 1, [completion('X')]) as string, /1\.2 times/)
})

test('story: plain text to go on with', (t) => {
  const task = story({ train: 1, heldOut: 1 })
  const { single, pipeline, discussion } = task.baselines!
  const item = { opening: 'One day' }
  t.is(single!.prompt(item), 'One day')
  t.is(pipeline!(item, 0, []), 'One day')
  t.is(pipeline!(item, 1, [completion(', a cat came. ')]), 'One day, a cat came.\nOne day')
  t.is(discussion!(item, 0, [completion(' it rained.')]), 'One day it rained.\nOne day')
  t.deepEqual(single!.split('\n it rained.\nThe sun came.\nEnd'), ['it rained.', 'The sun came. End'])
  t.is(single!.split(' it rained.'), null)
})

test("code: the team's prompts with the other's code, the single model without aux", (t) => {
  const task = codeTask({ items: [problem] })
  const { single, pipeline, discussion } = task.baselines!
  t.notRegex(single!.prompt(problem) as string, /aux/)
  t.deepEqual(single!.split('def solve(n): return 2 * n'), ['', 'def solve(n): return 2 * n'])
  t.is(pipeline!(problem, 0, []), task.observe(problem, 0, []))
  const aux = '```python\ndef aux(n):\n    return n\n```'
  const main = pipeline!(problem, 1, [completion(aux)]) as string
  t.true(main.includes('\n\ndef aux(n):\n    return n\n\n'))
  t.false(main.includes('```'))
  t.true(main.endsWith(task.observe(problem, 1, []) as string))
  const reply = discussion!(problem, 0, [completion('def solve(n):\n    return aux(n)')]) as string
  t.true(reply.includes('return aux(n)') && reply.endsWith(task.observe(problem, 0, []) as string))
  const alone = codeTask({ items: [problem], agents: 1 }).baselines!
  t.deepEqual(alone.single!.split('x'), ['x'])
  t.is(alone.pipeline, undefined)
})

test('mini-code: code that is there, then what to write', (t) => {
  const { single, pipeline, discussion } = (miniCode({ train: 1, heldOut: 1 }) as Task<{ prompt: string }>).baselines!
  const item = { prompt: problem.prompt }
  t.is(
    pipeline!(item, 1, [completion('def aux(x): return x\n')]),
    `${problem.prompt}def aux(x): return x\n# write solve\n`,
  )
  t.is(
    discussion!(item, 0, [completion('def solve(xs): return 1')]),
    `${problem.prompt}def solve(xs): return 1\n# write aux\n`,
  )
  t.true((single!.prompt(item) as string).startsWith(problem.prompt))
})

test('a delimiter needs text on both sides', (t) => {
  t.deepEqual(splitAtDelimiter(' a \n@@\n b @@ c ', '@@'), ['a', 'b   c'])
  for (const text of ['a b', '@@ b', 'a @@', 'a @@ @@']) t.is(splitAtDelimiter(text, '@@'), null, text)
})

test('a cut gives the ratio asked for, at white space', (t) => {
  const text = Array.from({ length: 300 }, (_, i) => 'abcdefgh'.slice(0, 1 + (i % 7))).join(' ')
  for (const ratio of [1, 1.3, 2, 2.5, 3]) {
    const [first, second] = cutByRatio(text, ratio)
    t.is(`${first} ${second}`, text)
    t.true(Math.abs(second.length / first.length - ratio) < 0.06, String(ratio))
  }
  t.deepEqual(cutByRatio('𝔸𝔹ℂ𝔻', 1), ['𝔸𝔹', 'ℂ𝔻'])
  t.deepEqual(cutByRatio('', 2), ['', ''])
})

test('tldr, single: adherence, strict and fallback scores by the task itself', async (t) => {
  const words = (count: number, from: number) => Array.from({ length: count }, (_, i) => `w${from + i}`).join(' ')
  const divided = `${words(20, 0)}\n${paragraphDelimiter}\n${words(50, 0)} however`
  const whole = `${words(60, 0)} however`
  const engine = new TextEngine(({ stream }) => (stream.sample === 0 ? divided : whole))
  const task = await tldr({ train: [post] })
  const [good, bad] = await playWith(engine.players(1), { task, baseline: 'single', samples: 2 })
  t.deepEqual([good!.isDivided, bad!.isDivided], [true, false])
  t.true(good!.reward! > 2 && good!.cut!.reward === good!.reward)
  t.is(bad!.reward, 0)
  t.true(bad!.cut!.parts.length_ratio === 1, 'the wanted ratio by construction')
  t.is(engine.samplings[0]!.maxNewTokens, 260)
})
