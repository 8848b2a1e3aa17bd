import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { arxivData } from '../../lib/tasks/arxiv/options.ts'
import { coophumanevalData } from '../../lib/tasks/coophumaneval/task.ts'
import { loadItems } from '../../lib/tasks/datasets/items.ts'
import { loadSource } from '../../lib/tasks/datasets/load.ts'
import { parseSplit } from '../../lib/tasks/datasets/slice.ts'
import type { DataSource } from '../../lib/tasks/datasets/source.ts'
import { humanevalData } from '../../lib/tasks/humaneval/task.ts'
import { tasks } from '../../lib/tasks/index.ts'
import { withSignature } from '../../lib/tasks/mbpp/signature.ts'
import { mbppData } from '../../lib/tasks/mbpp/task.ts'
import { tldrData } from '../../lib/tasks/tldr/options.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const parquet = (name: string) => goldenDir(`parquet/${name}.parquet`)
const numbers = (items: unknown[]) => items.map((item) => (item as { n: number }).n)

test('Parquet in every compression, with numbers and lists as JSON has them', async (t) => {
  const expected = await loadItems(parquet('none'))
  t.is(expected.length, 25)
  t.deepEqual(expected[4], { prompt: 'post 4 äöü 你好 word word word word ', n: 4, tags: ['a'] })
  for (const codec of ['snappy', 'zstd', 'gzip', 'brotli'])
    t.deepEqual(await loadItems(parquet(codec)), expected, codec)
})

test('a part of a Parquet file, across its row groups', async (t) => {
  t.deepEqual(numbers(await loadItems(parquet('snappy'), { offset: 8, limit: 4 })), [8, 9, 10, 11])
  t.deepEqual(numbers(await loadItems(parquet('snappy'), { offset: 21 })), [21, 22, 23, 24])
  await rejectsWith(t, () => loadItems(parquet('snappy'), { offset: 25 }), 'ERR_DATA', 'holds no items')
})

test('broken Parquet and missing fields are named with file, row and field', async (t) => {
  const missing = await rejectsWith(
    t,
    () => loadItems(parquet('null'), { fields: ['prompt'] }),
    'ERR_DATA',
    /null\.parquet, row 1: expected a string in field "prompt" but received null/,
  )
  t.like(missing.details, { row: 1, field: 'prompt' })
  const other = () => loadItems(parquet('snappy'), { fields: ['text'], offset: 3 })
  await rejectsWith(t, other, 'ERR_DATA', 'row 3: expected a field "text" but the item has ["prompt","n","tags"]')
  const folder = await temporaryFolder(t)
  const cut = join(folder, 'cut.parquet')
  await writeFile(cut, (await readFile(parquet('snappy'))).subarray(0, 300))
  await rejectsWith(t, () => loadItems(cut), 'ERR_DATA', 'cut.parquet cannot be read as Parquet')
  await rejectsWith(t, () => loadItems(join(folder, 'no.parquet')), 'ERR_DATA', 'no.parquet', 'ENOENT')
})

test('splits as data sets write them', (t) => {
  t.deepEqual(parseSplit('test[33:133]'), { name: 'test', start: 33, stop: 133 })
  t.deepEqual(parseSplit('train'), { name: 'train', start: 0, stop: Infinity })
  t.deepEqual(parseSplit('[:-2]'), { name: undefined, start: 0, stop: -2 })
  for (const wrong of ['', 'test[3]', 'a b', 'test[1:2:3]', 'test[-:3]'])
    t.throws(() => parseSplit(wrong), { message: /Expected a split/ }, wrong)
})

const load = async (source: DataSource, part: 'train' | 'heldOut' = 'train') =>
  numbers(await loadSource(source, { published: humanevalData, part, fields: [] }))

test('a part of a local file by split, offset and limit', async (t) => {
  const file = parquet('snappy')
  t.deepEqual(await load({ file, split: 'test[3:6]' }), [3, 4, 5])
  t.deepEqual(await load({ file, split: '[20:]', offset: 1, limit: 2 }), [21, 22])
  t.deepEqual(await load({ file, split: '[-3:-1]' }), [22, 23])
  t.is((await load({ file, split: 'paper' }, 'heldOut')).length, 25)
  await rejectsWith(t, () => load({ file, split: '[7:7]' }), 'ERR_DATA', 'the part asked for ([7:7]) has none')
  await rejectsWith(t, () => load({ file, split: 'paper' }), 'ERR_DATA', 'holds no items after offset 33')
  await rejectsWith(
    t,
    () => load({ file, split: 'paper-multiturn' }),
    'ERR_ARGUMENT',
    'did you mean "paper-multi-turn"',
  )
  await rejectsWith(t, () => load({ file, split: 'paper-baselines' }), 'ERR_ARGUMENT', 'held-out items only')
  await rejectsWith(t, () => load({ file, hub: 'a/b' }), 'ERR_CONFIG', 'either file or hub')
})

const problem = {
  prompt: 'def f(x):\n',
  test: 'def check(candidate):\n    assert candidate(1)\n',
  entry_point: 'f',
}

test("the paper's splits do not overlap, and have the published sizes", async (t) => {
  const folder = await temporaryFolder(t)
  const problems = async (name: string, count: number) => {
    const all = Array.from({ length: count }, (_, i) => ({ task_id: `${name}/${i}`, ...problem }))
    await writeFile(join(folder, `${name}.json`), JSON.stringify(all))
    return { file: join(folder, `${name}.json`), all }
  }
  const { file: humaneval, all } = await problems('HumanEval', 164)
  const ids = async (split: string, part: 'train' | 'heldOut') =>
    (
      await loadSource<{ task_id: string }>({ file: humaneval, split }, { published: humanevalData, part, fields: [] })
    ).map(({ task_id }) => task_id)
  const range = (from: number, to: number) => all.slice(from, to).map(({ task_id }) => task_id)
  t.deepEqual(await ids('paper', 'train'), range(33, 133))
  t.deepEqual(await ids('paper', 'heldOut'), range(0, 32))
  t.deepEqual(await ids('paper-multi-turn', 'train'), range(33, 163))
  t.deepEqual(await ids('paper-baselines', 'heldOut'), range(133, 164))
  const { file } = await problems('CoopHumanEval', 82)
  const task = await tasks.coophumaneval({ train: { file, split: 'paper' }, heldOut: { file, split: 'paper' } })
  t.deepEqual([task.items.length, task.heldOut?.length], [66, 16])
  for (const { splits } of [humanevalData, coophumanevalData, mbppData, tldrData, arxivData])
    for (const { train = [], heldOut = [] } of Object.values(splits))
      for (const text of [...train, ...heldOut]) t.notThrows(() => parseSplit(text))
})

test('local files for every task; a missing field is named', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'items.jsonl')
  const good = { task_id: 'a', ...problem }
  const { test: _test, ...bad } = good
  await writeFile(file, `${JSON.stringify(good)}\n${JSON.stringify(bad)}\n`)
  t.is((await tasks.humaneval({ train: { file, limit: 1 } })).items.length, 1)
  await rejectsWith(t, () => tasks.humaneval({ train: file }), 'ERR_DATA', 'items.jsonl, line 2', 'field "test"')
  t.is((await tasks.tldr({ train: file })).items.length, 2)
  await rejectsWith(t, () => tasks.arxiv({ train: file }), 'ERR_DATA', 'line 1', '"abstract_text"')
  await cp(parquet('zstd'), join(folder, 'posts.parquet'))
  t.is((await tasks.tldr({ train: join(folder, 'posts.parquet'), heldOut: file })).items.length, 25)
})

const mbppItem = {
  prompt: 'def function():\n    """Write a function to add."""\n',
  test: 'def check(candidate):\n    assert candidate([1, 2], "a,(b") == 3\n    assert candidate((1), 2, base=1) == 2\n    assert candidate(5)\n',
  entry_point: 'add',
}

test('MBPP: the signature that the tests call, or the error sentence of the published prompts', async (t) => {
  t.regex(withSignature(mbppItem).prompt, /^def add\(arg1, arg2=None, base=None\):\n {4}"""Write/)
  const simple = { ...mbppItem, test: 'def check(candidate):\n    assert candidate({1: (2, 3)}) == f(1, 2)\n' }
  t.regex(withSignature(simple).prompt, /^def add\(value\):/)
  const byName = { ...simple, prompt: 'Write a function.', test: 'assert add(1, b == 2) == 3' }
  t.is(withSignature(byName).prompt, 'Write a function.\n\ndef add(arg1, arg2):\n')
  const whole = { ...mbppItem, prompt: 'def add(x):\n' }
  t.is(withSignature(whole), whole)
  const strict = await tasks.mbpp({ train: [mbppItem] })
  t.regex(strict.observe(strict.items[0]!, 1, []) as string, /def add\(arg1, arg2=None, base=None\)/)
  const paper = await tasks.mbpp({ train: [mbppItem], rules: 'paper' })
  for (const agent of [0, 1]) t.regex(paper.observe(paper.items[0]!, agent, []) as string, /^Error: no function/)
  const repaired = await tasks.mbpp({ train: [mbppItem], rules: 'paper', signatures: 'repaired' })
  t.regex(repaired.observe(repaired.items[0]!, 1, []) as string, /def add\(arg1/)
})
