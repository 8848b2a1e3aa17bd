import { existsSync } from 'node:fs'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { chooseFiles, isComplete } from '../../lib/tasks/datasets/hub-files.ts'
import { loadSource } from '../../lib/tasks/datasets/load.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const commit = 'c0ffee'.padEnd(40, '0')

/** A hub with one data set, `org/posts`, and an empty cache; the environment points at both while the test runs. */
async function startHub(t: ExecutionContext, files: Record<string, Buffer>, settings: { token?: string } = {}) {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const url = decodeURIComponent((request.url ?? '').split('?')[0]!)
    requests.push(`${request.method} ${url}`)
    const json = (value: unknown) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value))
    if (settings.token && request.headers.authorization !== `Bearer ${settings.token}`)
      return response.writeHead(401).end('{"error":"who are you?"}')
    const revisions = ['main', 'v1', commit]
    const [, revision, path] = /^\/datasets\/org\/posts\/resolve\/([^/]+)\/(.+)$/.exec(url) ?? []
    const info = /^\/api\/datasets\/org\/posts\/revision\/(.+)$/.exec(url)?.[1]
    if (info && revisions.includes(info))
      return json({ _id: '1', id: 'org/posts', sha: commit, lastModified: '2025-01-01T00:00:00Z' })
    if (url === `/api/datasets/org/posts/tree/${commit}`)
      return json(
        Object.entries(files).map(([name, { length }], n) => ({
          type: 'file',
          path: name,
          size: length,
          oid: `oid${n}`,
        })),
      )
    const file = path && revision === commit ? files[path] : undefined
    if (file === undefined) return response.writeHead(404).end('{"error":"not found"}')
    response.setHeader('etag', `"${path}"`)
    const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '')
    if (!range) return response.setHeader('content-length', file.length).end(file)
    const piece = file.subarray(Number(range[1]), Number(range[2]) + 1)
    response.writeHead(206, {
      'content-range': `bytes ${range[1]}-${range[2]}/${file.length}`,
      'content-length': piece.length,
    })
    return response.end(piece)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cache = await temporaryFolder(t)
  const env = { HF_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, HF_HUB_CACHE: cache }
  setEnv(t, env)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { requests, folder: join(cache, 'datasets--org--posts') }
}

function setEnv(t: ExecutionContext, values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name]
    process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
}

const numbers = async (source: Parameters<typeof loadSource>[0], log?: (message: string) => void) =>
  (await loadSource<{ n: number }>(source, { part: 'train', fields: ['prompt'], log })).map(({ n }) => n)

const lines = (...values: number[]) => Buffer.from(values.map((n) => JSON.stringify({ prompt: `p${n}`, n })).join('\n'))

test.serial('downloads a split once, into the layout all Hugging Face tools share', async (t) => {
  const parquet = await readFile(goldenDir('parquet/snappy.parquet'))
  const { requests, folder } = await startHub(t, {
    'README.md': Buffer.from('#'),
    'data/train-00000-of-00001.parquet': parquet,
  })
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
  t.deepEqual(await readdir(join(folder, 'blobs')), ['oid1'])
  t.false(existsSync(join(folder, 'snapshots', commit, 'README.md')), 'only what is needed')
  const count = requests.length
  t.deepEqual(await numbers({ hub: 'org/posts', split: 'train[3:5]' }), [3, 4])
  t.is(requests.length, count, 'the second time nothing is asked')
})

test.serial('several files, revisions, tokens', async (t) => {
  setEnv(t, { HF_TOKEN: 'hf_secret' })
  const files = { 'test-00000-of-00002.jsonl': lines(0, 1, 2), 'test-00001-of-00002.jsonl': lines(3, 4) }
  const { folder } = await startHub(t, files, { token: 'hf_secret' })
  t.deepEqual(await numbers({ hub: 'org/posts', split: 'test[2:4]', revision: 'v1' }), [2, 3])
  t.is(await readFile(join(folder, 'refs/v1'), 'utf8'), commit)
  t.deepEqual(await numbers({ hub: 'org/posts', split: 'test[-1:]', revision: commit }), [4])
  process.env.HF_TOKEN = 'hf_other'
  await rejectsWith(t, () => numbers('hub:org/posts'), 'ERR_DATA', 'org/posts', 'set HF_TOKEN')
})

test.serial('what cannot be had is named', async (t) => {
  const { folder } = await startHub(t, { 'a/train.jsonl': lines(0), 'b/train.jsonl': lines(1) })
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
