import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { freeMemory } from '../../lib/native/free-memory.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const mega = 2 ** 20

/** Free memory of a machine whose `/proc` and `/sys` hold these files. */
async function freeOf(t: ExecutionContext, files: Record<string, string>, env: NodeJS.ProcessEnv = {}) {
  const root = await temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return freeMemory({ root, env, systemFree: () => 7 * mega })
}

const meminfo = { 'proc/meminfo': `MemTotal:  999999 kB\nMemFree: 10 kB\nMemAvailable:   ${100 * 1024} kB\n` }

test('without control groups it is what Linux calls available, elsewhere what the system calls free', async (t) => {
  t.deepEqual(await freeOf(t, meminfo), { bytes: 100 * mega, from: 'system' })
  t.deepEqual(await freeOf(t, {}), { bytes: 7 * mega, from: 'system' })
})

test('version 2: the tightest limit up to the root counts, file pages that can go do not', async (t) => {
  const files = {
    ...meminfo,
    'proc/self/cgroup': '0::/user/job\n',
    'sys/fs/cgroup/user/job/memory.max': 'max\n',
    'sys/fs/cgroup/user/memory.max': `${50 * mega}\n`,
    'sys/fs/cgroup/user/memory.current': `${30 * mega}\n`,
    'sys/fs/cgroup/user/memory.stat': `anon 1\ninactive_file ${10 * mega}\nactive_file 3\n`,
  }
  t.deepEqual(await freeOf(t, files), { bytes: 30 * mega, from: 'cgroup' })
})

test('version 1: the controller of memory, also where the path is that of the host', async (t) => {
  const files = {
    ...meminfo,
    'proc/self/cgroup': '9:cpu,cpuacct:/\n4:memory:/docker/abc\n',
    'sys/fs/cgroup/memory/memory.limit_in_bytes': `${40 * mega}\n`,
    'sys/fs/cgroup/memory/memory.usage_in_bytes': `${25 * mega}\n`,
    'sys/fs/cgroup/memory/memory.stat': `inactive_file 0\ntotal_inactive_file ${5 * mega}\n`,
  }
  t.deepEqual(await freeOf(t, files), { bytes: 20 * mega, from: 'cgroup' })
})

test('a limit above what is available, or used up, changes nothing or leaves nothing', async (t) => {
  const group = (limit: number) => ({
    ...meminfo,
    'proc/self/cgroup': '0::/\n',
    'sys/fs/cgroup/memory.max': `${limit}`,
    'sys/fs/cgroup/memory.current': `${60 * mega}`,
  })
  t.deepEqual(await freeOf(t, group(2 ** 63)), { bytes: 100 * mega, from: 'system' })
  t.deepEqual(await freeOf(t, group(50 * mega)), { bytes: 0, from: 'cgroup' })
})

test('the ranks of a machine share what is free', async (t) => {
  t.deepEqual(await freeOf(t, meminfo, { LOCAL_WORLD_SIZE: '4' }), { bytes: 25 * mega, from: 'system' })
  t.deepEqual(await freeOf(t, meminfo, { OMPI_COMM_WORLD_LOCAL_SIZE: '2' }), { bytes: 50 * mega, from: 'system' })
})

test('MAGRPO_MEMORY_LIMIT takes the place of all that, in units people write', async (t) => {
  const sizes = { '8GiB': 8 * 2 ** 30, '500MB': 5e8, ' 1.5 gb ': 1.5e9, '2G': 2 ** 31, '4096': 4096 }
  for (const [text, bytes] of Object.entries(sizes))
    t.deepEqual(await freeOf(t, meminfo, { MAGRPO_MEMORY_LIMIT: text }), { bytes, from: 'MAGRPO_MEMORY_LIMIT' })
  for (const text of ['lots', '-5GB', '8 GiBs', '1e9'])
    await t.throwsAsync(freeOf(t, meminfo, { MAGRPO_MEMORY_LIMIT: text }), { code: 'ERR_ARGUMENT', message: /8GiB/ })
})
