/** Data files that are damaged, or small and hold endless data: an error with a code, and the process goes on. */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { loadItems } from '../../lib/tasks/datasets/items.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir, repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const small = goldenDir('parquet/snappy.parquet')

test.serial('Parquet with damage in two columns is an error, and the next file is read', async (t) => {
  const file = join(await temporaryFolder(t), 'damaged.parquet')
  // Bytes in the pages of two columns: the reader gave up at the first, and the second failed with nobody to hear of it.
  const places = [
    [728, 2038],
    [316, 1415],
    [538, 2024],
    [96, 1379],
  ]
  for (const pair of places) {
    const bytes = readFileSync(small)
    for (const at of pair) bytes[at]! ^= 0xff
    writeFileSync(file, bytes)
    await rejectsWith(t, () => loadItems(file), 'ERR_DATA', file, 'cannot be read as Parquet')
  }
  t.is((await loadItems(small)).length, 25)
})

test.serial('loading Parquet ends with the signal', async (t) => {
  const reason = new Error('enough')
  t.is(await t.throwsAsync(loadItems(small, { signal: AbortSignal.abort(reason) })), reason)
  const controller = new AbortController()
  setImmediate(() => controller.abort(reason))
  t.is(await t.throwsAsync(loadItems(small, { signal: controller.signal })), reason)
  t.is((await loadItems(small)).length, 25)
})

test('a line, or an element, longer than any item', async (t) => {
  const folder = await temporaryFolder(t)
  for (const [name, begin, piece] of [
    ['line.jsonl.gz', '', 'a'],
    ['array.json.gz', '[', 'a'],
    ['space.jsonl.gz', '', ' '],
  ] as const) {
    const file = join(folder, name)
    writeFileSync(file, gzipSync(begin + piece.repeat(40_000_000), { level: 1 }))
    await rejectsWith(t, () => loadItems(file), 'ERR_DATA', file, 'at most 33554432 characters')
  }
})

test('items that are nested too deep', async (t) => {
  const file = join(await temporaryFolder(t), 'deep.jsonl')
  writeFileSync(file, `{"a":1}\n{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`)
  const error = await rejectsWith(t, () => loadItems(file), 'ERR_DATA', file, 'deep')
  t.is(error.details.line, 2)
})

test('more items than fit in memory', async (t) => {
  const file = join(await temporaryFolder(t), 'many.jsonl.gz')
  writeFileSync(file, gzipSync(`{"a":[${'[],'.repeat(200)}0]}\n`.repeat(60_000), { level: 1 }))
  const module = new URL('../../lib/tasks/datasets/items.ts', import.meta.url).href
  const program = `const { loadItems } = await import(${JSON.stringify(module)})
    await loadItems(${JSON.stringify(file)}).catch((error) => console.log(error.code, error.message))`
  const options = ['--max-old-space-size=256', '--import=tsx', '--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: repositoryDir })
  t.regex(stdout, /^ERR_DATA .* does not fit in memory/)
})
