import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { loadItems } from '../../lib/tasks/datasets/items.ts'
import { goldenDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { damagedBytes, fuzz } from './fuzz.ts'

const rows = [{ p: 'a "quoted" text' }, { p: '', n: [1, 2.5, -1e9, null, true] }, { p: 'ä😀\n', q: { r: [{ s: {} }] } }]
const lines = Buffer.from(rows.map((row) => JSON.stringify(row)).join('\r\n'))
const array = Buffer.from(`\ufeff ${JSON.stringify(rows, null, 1)}\n`)

for (const [name, originals] of [
  ['a.jsonl', [lines, array]],
  ['a.json.gz', [gzipSync(lines), gzipSync(array), gzipSync('{}\n'.repeat(2000))]],
  [
    'a.parquet',
    ['none', 'snappy', 'zstd', 'gzip', 'brotli', 'null'].map((each) =>
      readFileSync(goldenDir(`parquet/${each}.parquet`)),
    ),
  ],
] as const)
  test(name, async (t) => {
    const file = join(await temporaryFolder(t), name)
    await fuzz(t, {
      inputs: damagedBytes(...originals),
      read: (content) => {
        writeFileSync(file, content)
        return loadItems(file)
      },
      codes: ['ERR_DATA'],
      check: (items) => {
        if (items.length === 0 || !items.every((item) => typeof item === 'object' && item !== null))
          throw new Error('items')
        JSON.stringify(items)
      },
    })
  })
