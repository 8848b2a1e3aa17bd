import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import type { LoadItemsOptions } from '../../lib/tasks/datasets/items.ts'
import { loadItems } from '../../lib/tasks/datasets/items.ts'

/** Writes a file into a folder of its own that goes when the test ends. */
async function file(t: ExecutionContext, name: string, content: string | Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'magrpo-data-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

async function failure(t: ExecutionContext, path: string, options?: LoadItemsOptions): Promise<MagrpoError> {
  const error = await t.throwsAsync(loadItems(path, options), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_DATA')
  t.is(error.details.file, path)
  return error
}

test('reads JSON Lines with a byte order mark, empty lines and no last line end', async (t) => {
  const path = await file(t, 'a.jsonl', '\ufeff{"p":"a\\n😀"}\r\n\r\n  \n{"p":"b"}\n{"p":"c"}')
  t.deepEqual(await loadItems(path, { fields: ['p'] }), [{ p: 'a\n😀' }, { p: 'b' }, { p: 'c' }])
})

test('reads a JSON array, brackets and commas in strings included', async (t) => {
  const items = [{ p: 'a, ] } \\" [ {' }, { p: '"\\', q: [1, [2], { r: ',' }] }, { p: '' }]
  for (const text of [JSON.stringify(items), `\ufeff \n${JSON.stringify(items, null, 2)}\n\n`])
    t.deepEqual(await loadItems(await file(t, 'a.json', text), { fields: ['p'] }), items)
})

test('reads gzip of both forms', async (t) => {
  t.deepEqual(await loadItems(await file(t, 'a.jsonl.gz', gzipSync('{"a":1}\n{"a":2}\n'))), [{ a: 1 }, { a: 2 }])
  t.deepEqual(await loadItems(await file(t, 'a.json.gz', gzipSync('[{"a":1},{"a":2}]'))), [{ a: 1 }, { a: 2 }])
})

test('offset and limit cut a part out and do not read on', async (t) => {
  const path = await file(t, 'a.jsonl', '{"a":0}\n{"a":1}\n{"a":2}\nbroken')
  t.deepEqual(await loadItems(path, { offset: 1, limit: 2 }), [{ a: 1 }, { a: 2 }])
  await failure(t, path)
  await t.throwsAsync(loadItems(path, { limit: 0 }), { code: 'ERR_CONFIG' })
  await t.throwsAsync(loadItems(path, { offset: -1 }), { code: 'ERR_CONFIG' })
})

test('values longer than the pieces a file is read in stay whole', async (t) => {
  const items = Array.from({ length: 40 }, (_, i) => ({ i, text: `${'é😀x'.repeat(7000 + i)}` }))
  t.deepEqual(await loadItems(await file(t, 'a.jsonl', items.map((item) => JSON.stringify(item)).join('\n'))), items)
  t.deepEqual(await loadItems(await file(t, 'a.json', JSON.stringify(items, null, 1))), items)
})

test('the event loop turns while a large file is read', async (t) => {
  const path = await file(t, 'a.jsonl', '{"a":1}\n'.repeat(300_000))
  let turns = 0
  let isReading = true
  const countTurn = () => {
    turns++
    if (isReading) setImmediate(countTurn)
  }
  setImmediate(countTurn)
  const items = await loadItems(path)
  isReading = false
  t.is(items.length, 300_000)
  t.true(turns > 10)
})

test('a broken line is named', async (t) => {
  const error = await failure(t, await file(t, 'a.jsonl', '{"a":1}\n\n{"a":\n'))
  t.is(error.details.line, 3)
  t.regex(error.message, /a\.jsonl, line 3: broken JSON: /)
  const inArray = await failure(t, await file(t, 'a.json', '[\n {"a":1},\n\n {"a":1,}\n]'))
  t.is(inArray.details.line, 4)
})

test('a missing or wrong field is named', async (t) => {
  const path = await file(t, 'a.jsonl', '{"p":"a"}\n{"q":"a"}\n')
  const missing = await failure(t, path, { fields: ['p'] })
  t.like(missing.details, { line: 2, field: 'p' })
  t.regex(missing.message, /line 2: expected a field "p" but the item has \["q"\]/)
  const wrong = await failure(t, await file(t, 'a.jsonl', '{"p":1}'), { fields: ['p'] })
  t.regex(wrong.message, /expected a string in field "p" but received 1/)
})

for (const [what, name, content, message] of [
  ['an empty file', 'a.jsonl', '', /holds no items/],
  ['an empty array', 'a.json', '[ ]', /holds no items/],
  ['an array that is cut off', 'a.json', '[{"a":1},{"a"', /not closed/],
  ['text after an array', 'a.json', '[{"a":1}]\n{"a":2}', /line 2: expected nothing after the array/],
  ['an empty element', 'a.json', '[{"a":1},]', /expected a value/],
  ['a number', 'a.jsonl', '{"a":1}\n7', /line 2: expected an object but received 7/],
  ['an array as item', 'a.json', '[[1]]', /line 1: expected an object but received \[1\]/],
  ['broken UTF-8', 'a.jsonl', Buffer.from([0x7b, 0xff, 0x7d]), /not valid UTF-8/],
  ['UTF-8 that ends early', 'a.jsonl', Buffer.from([0x7b, 0xe2, 0x82]), /not valid UTF-8/],
  ['gzip that is none', 'a.jsonl.gz', 'text', /cannot be read: incorrect header/],
  [
    'gzip that is cut off',
    'a.jsonl.gz',
    gzipSync('{"a":1}\n'.repeat(1000)).subarray(0, 30),
    /cannot be read: unexpected end/,
  ],
] as const)
  test(`${what} is an error`, async (t) => {
    const error = await failure(t, await file(t, name, content))
    t.regex(error.message, message)
  })

test('a missing file is an error, packed or not', async (t) => {
  for (const name of ['none.jsonl', 'none.json.gz']) {
    const error = await failure(t, join(tmpdir(), 'magrpo-data-missing', name))
    t.regex(error.message, /cannot be read: ENOENT/)
  }
})

test('an offset beyond the items is an error', async (t) => {
  const error = await failure(t, await file(t, 'a.jsonl', '{"a":1}\n'), { offset: 1 })
  t.regex(error.message, /holds 1 items, none after offset 1/)
})

test('an aborted signal rejects with its reason', async (t) => {
  const reason = new Error('enough')
  const path = await file(t, 'a.jsonl', '{"a":1}\n'.repeat(100_000))
  t.is(await t.throwsAsync(loadItems(path, { signal: AbortSignal.abort(reason) })), reason)
  const controller = new AbortController()
  setImmediate(() => controller.abort(reason))
  t.is(await t.throwsAsync(loadItems(path, { signal: controller.signal })), reason)
})
