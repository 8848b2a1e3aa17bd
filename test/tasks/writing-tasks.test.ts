import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { ConfigError, MagrpoError } from '../../lib/base/errors.ts'
import { arxiv } from '../../lib/tasks/arxiv/task.ts'
import { storyOpening, storyOpeningCount } from '../../lib/tasks/story/openings.ts'
import { story } from '../../lib/tasks/story/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import type { RewardDetails, Task } from '../../lib/tasks/task/types.ts'
import { tldr } from '../../lib/tasks/tldr/task.ts'
import type { ChatMessage } from '../../lib/text/messages.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const completion = (text: string): Completion => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 })
const context = { signal: new AbortController().signal }

async function reward<Item>(task: Task<Item>, texts: string[]): Promise<RewardDetails & { total: number }> {
  const result = await task.reward(task.items[0] as Item, texts.map(completion), context)
  if (typeof result === 'number' || result === null || result.total === null) throw new Error('expected parts')
  return { ...result, total: result.total }
}

const short = 'Tom found a big red ball near the old tree'
const long = `${short}. He also gave it to a little girl who kindly smiled, because her brown dog had buried the other one`

test('tldr: both agents see the post and different requests', async (t) => {
  const task = await tldr({ train: [{ prompt: 'SUBREDDIT: r/x\n\nPOST: My cat ran away.\n\nTL;DR:' }] })
  const item = task.items[0] as { prompt: string }
  const prompts = [0, 1].map((agent) => task.observe(item, agent, []) as string)
  t.deepEqual(task.agents, ['summarizer', 'elaborator'])
  t.not(prompts[0], prompts[1])
  for (const prompt of prompts) {
    t.true(prompt.includes('My cat ran away.'))
    t.false(prompt.includes('TL;DR'))
    t.notRegex(prompt, /agent|other|ratio|times/i)
  }
  t.is(task.heldOut, undefined)
  t.is(task.defaults?.maxNewTokens, 256)
})

test('tldr: chat prompts are one user message with the same text', async (t) => {
  const items = [{ prompt: 'A post.' }]
  const plain = await tldr({ train: items })
  const chat = await tldr({ train: items, chat: true })
  const messages = chat.observe(items[0] as { prompt: string }, 1, []) as ChatMessage[]
  t.deepEqual(messages, [{ role: 'user', content: plain.observe(items[0] as { prompt: string }, 1, []) as string }])
})

test('rewards have parts, follow the rules, and come with metrics', async (t) => {
  const items = [{ prompt: 'A post.' }]
  const strict = await tldr({ train: items })
  const { total, parts } = await reward(strict, [short, long])
  t.deepEqual(Object.keys(parts), ['structure', 'length_ratio', 'unique_ratio', 'consistency', 'coherence'])
  t.true(total > 2 && total <= (strict.maxReward as number))
  const hidden = long.replace('also', 'with good reason').replace('had', 'has')
  t.is((await reward(strict, [short, hidden])).parts.coherence, 0)
  t.true(((await reward(await tldr({ train: items, rules: 'paper' }), [short, hidden])).parts.coherence as number) > 0)
  t.is(strict.metrics?.({ prompt: '' }, [short, long].map(completion)).words_1, 10)
  await t.throwsAsync(tldr({ train: items, rules: 'loose' as never }), { instanceOf: ConfigError })
})

test('arxiv: the halves are told apart, and thresholds can be chosen', async (t) => {
  const train = [{ abstract_text: 'We study cats.' }]
  const task = await arxiv({ train })
  const [first, second] = [0, 1].map(
    (agent) => task.observe(train[0] as { abstract_text: string }, agent, []) as string,
  )
  t.regex(first as string, /We study cats\.[\s\S]*background of the problem/)
  t.regex(second as string, /We study cats\.[\s\S]*the method and what follows/)
  const words = (count: number, name: string) => Array.from({ length: count }, (_, i) => `${name}${i % 100}`).join(' ')
  const texts = [words(130, 'bb'), words(182, 'bb')]
  const paperTime = await reward(task, texts)
  const current = await reward(await arxiv({ train, thresholds: 'current' }), texts)
  t.true((paperTime.parts.length_ratio as number) < 0.6)
  t.is(current.parts.length_ratio, 1)
  await t.throwsAsync(arxiv({ train, thresholds: 'new' as never }), { instanceOf: ConfigError })
})

test('story: 1,000 different openings, the held-out ones never trained on', (t) => {
  const task = story()
  const openings = [...task.items, ...(task.heldOut ?? [])].map((item) => item.opening)
  t.is(task.items.length, 800)
  t.is(task.heldOut?.length, 200)
  t.is(new Set(openings).size, storyOpeningCount)
  t.deepEqual(story().items, task.items)
  t.deepEqual(story({ train: 10 }).heldOut, task.heldOut)
  t.deepEqual(task.observe({ opening: 'Once' }, 0, []), task.observe({ opening: 'Once' }, 1, []))
  t.is(task.defaults?.maxNewTokens, 400)
})

test('story: every kind of opening is among the held-out ones and among any 100 of the others', (t) => {
  const task = story()
  const kinds = (items: readonly { opening: string }[]) =>
    new Set(items.map(({ opening }) => opening.split(/[A-Z][a-z]+ (?=had|walked)|named|called/)[0]))
  t.true(kinds(task.heldOut ?? []).size >= 5)
  t.true(kinds(task.items.slice(300, 400)).size >= 5)
})

test('story: impossible sizes are refused', (t) => {
  for (const options of [{ train: 801 }, { train: 0 }, { heldOut: 1000 }, { heldOut: -1 }, { train: 1.5 }])
    t.throws(() => story(options), { instanceOf: ConfigError })
  t.throws(() => storyOpening(1000), { instanceOf: RangeError })
})

test('story: scored by the rules of tldr on the completions alone', async (t) => {
  const { total } = await reward(story(), [short, long])
  t.is(total, (await reward(await tldr({ train: [{ prompt: 'x' }] }), [short, long])).total)
  const error = await t.throwsAsync(reward(story(), [short]), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_TASK')
})

test('posts and abstracts load from files, with a part held out', async (t) => {
  const folder = await temporaryFolder(t)
  const lines = async (name: string, count: number, item: (i: number) => object) => {
    const file = join(folder, name)
    await writeFile(file, Array.from({ length: count }, (_, i) => `${JSON.stringify(item(i))}\n`).join(''))
    return file
  }
  const train = await lines('train.jsonl', 30, (i) => ({ prompt: `POST: ${i} cats.\n\nTL;DR:`, completion: 'Cats.' }))
  const file = await lines('eval.jsonl', 20, (i) => ({ prompt: `POST: ${i} dogs.\n\nTL;DR:`, completion: 'Dogs.' }))
  const abstracts = await lines('abstracts.jsonl', 9, (i) => ({ title: `On ${i}`, abstract_text: 'We count.' }))
  const posts = await tldr({ train, heldOut: { file, limit: 7, offset: 3 } })
  t.is(posts.items.length, 30)
  t.deepEqual(
    posts.heldOut?.map(({ prompt }) => parseInt(prompt.slice(6), 10)),
    [3, 4, 5, 6, 7, 8, 9],
  )
  t.is((await arxiv({ train: { file: abstracts, limit: 5 } })).items.length, 5)
  for (const item of posts.items) t.false(`${posts.observe(item, 0, [])}`.includes('TL;DR:'))
  await t.throwsAsync(tldr({ train: abstracts }), { message: /expected a field "prompt"/ })
})
