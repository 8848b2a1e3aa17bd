import test from 'ava'
import fc from 'fast-check'
import type { HubAccess } from '../../lib/hub/access.ts'
import { listFiles } from '../../lib/hub/download.ts'
import { parseHubName } from '../../lib/hub/names.ts'
import { damagedJsonText, fuzz } from './fuzz.ts'

const commit = 'c'.repeat(40)
const file = (path: string, size: number) => ({ type: 'file', path, size, oid: 'a'.repeat(40) })
const listing = [
  file('config.json', 700),
  { type: 'directory', path: 'onnx', oid: 'b'.repeat(40) },
  { ...file('model.safetensors', 130), lfs: { oid: 'd'.repeat(64), size: 5_000_000_000, pointerSize: 130 } },
]

const isSafePath = (path: string) => !path.startsWith('/') && !path.split('/').includes('..') && !path.includes('\0')

test('what the hub lists', async (t) => {
  await fuzz(t, {
    inputs: fc.tuple(damagedJsonText({ _id: 'x', id: 'a/b', sha: commit, modelId: 'a/b' }), damagedJsonText(listing)),
    read: ([info, tree]) => {
      const fetch = async (url: unknown) => new Response(new Uint8Array(String(url).includes('/tree/') ? tree : info))
      const repository = { type: 'model', name: 'a/b' } as const
      return listFiles({ repository, url: 'http://hub', fetch: fetch as HubAccess['fetch'] }, 'main')
    },
    codes: ['ERR_DOWNLOAD'],
    check: ({ commit: found, files }) => {
      if (!/^[0-9a-f]{40}$/.test(found)) throw new Error('no commit')
      for (const { path, size, etag } of files.values())
        if (!isSafePath(path) || !(size >= 0 && size <= 2 ** 53) || !/^[0-9a-f]+$/.test(etag)) throw new Error(path)
    },
  })
})

test('names of the hub', async (t) => {
  const piece = fc.constantFrom(
    'org',
    'name',
    '/',
    '@',
    '..',
    '.',
    '-',
    '--',
    'main',
    '\0',
    '\n',
    'ä',
    'a'.repeat(5000),
  )
  await fuzz(t, {
    inputs: fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 8 }).map((parts) => parts.join('')),
    ),
    read: (text) => parseHubName(text),
    codes: [],
    check: (name) => {
      if (name !== null && ![name.name, name.revision ?? 'main'].every(isSafePath)) throw new Error(name.name)
    },
  })
})
