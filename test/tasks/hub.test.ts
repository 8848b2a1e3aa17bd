import { existsSync } from 'node:fs'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { chooseFiles, isComplete } from '../../lib/tasks/datasets/hub-files.ts'
import { loadSource } from '../../lib/tasks/datasets/load.ts'
import { rejectsWith } from '../support/errors.ts'
import { commit, etagOf, setEnvironment as setEnv, startHub } from '../support/fake-hub.ts'
import { goldenDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const posts = { type: 'dataset', name: 'org/posts' } as const

const numbers = async (source: Parameters<typeof loadSource>[0], log?: (message: string) => void) =>
  (await loadSource<{ n: number }>(source, { part: 'train', fields: ['prompt'], log })).map(({ n }) => n)

const lines = (...values: number[]) => Buffer.from(values.map((n) => JSON.stringify({ prompt: `p${n}`, n })).join('\n'))

test.serial('downloads a split once, into the layout all Hugging Face tools share', async (t) => {
  const parquet = await readFile(goldenDir('parquet/snappy.parquet'))
  const { requests, cache } = await startHub(t, posts, {
    'README.md': Buffer.from('#'),
    'data/train-00000-of-00001.parquet': parquet,
  })
  const folder = join(cache, 'datasets--org--posts')
  const log: string[] = []
  t.deepEqual(
    await numbers('hub:org/posts', (message) => log.push(message)),
    Array.from({ length: 25 }, (_, n) => n),
  )
  t.deepEqual(log, ['downloading org/posts/data/train-00000-of-00001.parquet (0.0 MB)'])
  t.is(await readFile(join(folder, 'refs/main'), 'utf8'), commit)
  const file = join(folder, 'snapshots', commit, 'data/train-00000-of-00001.parquet')
  t.true((await lstat(file)).isSymbolicLink())
  t.deepEqual(await readFile(file), parquet)
  t.deepEqual(await readdir(join(folder, 'blobs')), [etagOf('.parquet', parquet)])
  t.false(existsSync(join(folder, 'snapshots', commit, 'README.md')), 'only what is needed')
  const count = requests.length
  t.deepEqual(await numbers({ hub: 'org/posts', split: 'train[3:5]' }), [3, 4])
  t.is(requests.length, count, 'the second time nothing is asked')
})

test.serial('several files, revisions, tokens', async (t) => {
  const files = { 'test-00000-of-00002.jsonl': lines(0, 1, 2), 'test-00001-of-00002.jsonl': lines(3, 4) }
  const hub = await startHub(t, posts, files)
  hub.token = 'a-secret'
  setEnv(t, { HF_TOKEN: 'a-secret' })
  const folder = join(hub.cache, 'datasets--org--posts')
  t.deepEqual(await numbers({ hub: 'org/posts', split: 'test[2:4]', revision: 'v1' }), [2, 3])
  t.is(await readFile(join(folder, 'refs/v1'), 'utf8'), commit)
  t.deepEqual(await numbers({ hub: 'org/posts', split: 'test[-1:]', revision: commit }), [4])
  process.env.HF_TOKEN = 'hf_other'
  await rejectsWith(t, () => numbers('hub:org/posts'), 'ERR_DATA', 'org/posts', 'set HF_TOKEN')
})

test.serial('what cannot be had is named', async (t) => {
  const { cache } = await startHub(t, posts, { 'a/train.jsonl': lines(0), 'b/train.jsonl': lines(1) })
  const folder = join(cache, 'datasets--org--posts')
  await rejectsWith(t, () => numbers('hub:org/posts@v9'), 'ERR_DATA', 'no such data set or revision (v9)')
  await rejectsWith(t, () => numbers('hub:org/other'), 'ERR_DATA', 'org/other', 'no such data set')
  await rejectsWith(t, () => numbers('hub:posts'), 'ERR_DATA', 'organisation/name')
  await rejectsWith(t, () => numbers({ hub: 'org/posts', split: 'test' }), 'ERR_DATA', 'no split test', 'a/train.jsonl')
  await rejectsWith(t, () => numbers('hub:org/posts'), 'ERR_DATA', 'several folders (a, b)', 'config')
  t.deepEqual(await numbers({ hub: 'org/posts', config: 'b' }), [1])
  setEnv(t, { HF_HUB_OFFLINE: '1' })
  await rejectsWith(t, () => numbers({ hub: 'org/posts', split: 'dev' }), 'ERR_DATA', 'HF_HUB_OFFLINE')
  t.false((await readdir(join(folder, 'blobs'))).some((name) => name.includes('incomplete')))
})

test.serial('nobody answers', async (t) => {
  setEnv(t, { HF_ENDPOINT: 'http://127.0.0.1:9', HF_HUB_CACHE: await temporaryFolder(t) })
  await rejectsWith(t, () => numbers('hub:org/posts'), 'ERR_DATA', 'cannot be downloaded', 'local copy')
})

test('the files of a split by their names', (t) => {
  const files = [
    'README.md',
    'dataset_infos.json',
    'data/train-00000-of-00002.parquet',
    'data/train-00001-of-00002.parquet',
  ]
  t.deepEqual(chooseFiles([...files, 'data/test-00000-of-00001.parquet'], 'train'), files.slice(2))
  t.deepEqual(chooseFiles(['data/val-0.parquet', 'x.jsonl'], 'validation'), ['data/val-0.parquet'])
  t.deepEqual(chooseFiles(['problems.json'], 'train'), ['problems.json'])
  t.is(chooseFiles(['problems.json'], 'test'), null)
  t.is(chooseFiles(['test.json'], 'train'), null)
  t.deepEqual(chooseFiles(['openai_humaneval/test-00000-of-00001.parquet'], 'test'), [
    'openai_humaneval/test-00000-of-00001.parquet',
  ])
  t.true(isComplete(files.slice(2)))
  t.false(isComplete(files.slice(2, 3)))
})
