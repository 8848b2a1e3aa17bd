import test from 'ava'
import { chunkLogits, prefillTokens, tileColumns } from '../../lib/model/memory-terms.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'

test('the memory plan uses the sizes of the core', (t) => {
  t.deepEqual(loadAddon().info().limits, { chunkLogits, tileColumns, prefillTokens })
})
