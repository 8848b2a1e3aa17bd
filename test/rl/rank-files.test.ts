import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import type { Ranks } from '../../lib/rl/backend/ranks.ts'
import type { TrainingBackend } from '../../lib/rl/backend/training-backend.ts'
import { RankFiles } from '../../lib/rl/rank-files.ts'
import { Row } from '../../lib/rl/rollout/row.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Ranks of one process: a gathering ends when all of its members have given their values. */
function ranksInMemory(size: number, columns: number): Ranks[] {
  interface Gathering {
    values: Map<number, unknown>
    settle: (() => void)[]
  }
  const open = new Map<string, Gathering>()
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    columns,
    begin: async () => {},
    alike: async () => {},
    gather: async <T>(name: string, value: T, _?: AbortSignal, members = [...Array(size).keys()]): Promise<T[]> => {
      const entry: Gathering = open.get(name) ?? { values: new Map(), settle: [] }
      open.set(name, entry)
      entry.values.set(rank, value)
      if (members.every((member) => entry.values.has(member))) for (const settle of entry.settle) settle()
      else await new Promise<void>((settle) => entry.settle.push(settle))
      return members.map((member) => entry.values.get(member) as T)
    },
    tell: () => {},
    end: () => {},
  }))
}

const settings = { sharded: false, moments: 'float32' }

/** A backend whose policies are files of their numbers; policy i is column i's. */
function backend(): TrainingBackend {
  const write = async (directory: string, policies: readonly number[]) => {
    for (const policy of policies) await writeFile(join(directory, `policy-${policy}.x`), `${policy}`)
  }
  return {
    columnOf: (policy: number) => policy,
    save: async (directory: string) => mkdir(join(directory, 'agent')).then(() => {}),
    weights: { write, prefixOf: (policy: number) => `policy-${policy}`, read: async () => {} },
  } as unknown as TrainingBackend
}

test('a rank that ends while another takes a snapshot does what rank 0 asks for, and is free when it says so', async (t) => {
  const folder = await temporaryFolder(t)
  const [first, second] = ranksInMemory(2, 2).map((ranks) => new RankFiles(backend(), ranks, settings))
  // Rank 1 has not heard of the end yet: it is after a step, and comes to its end later.
  await Promise.all([
    first!.during('end', () => first!.write(folder, [0, 1])),
    second!
      .during('on', async () => {})
      .then(() => second!.during('end', async () => t.fail('rank 0 alone works')))
      .then(() => second!.settle()),
  ])
  for (const policy of [0, 1]) t.is(await readFile(join(folder, `policy-${policy}.x`), 'utf8'), `${policy}`)
  await t.throwsAsync(() => first!.write(folder, [0, 1]), { code: 'ERR_ARGUMENT', message: /ranks have gone on/ })
})

test('a rank cannot make rank 0 write outside of the folder that it asked for', async (t) => {
  const root = await temporaryFolder(t)
  const folder = join(root, 'checkpoint')
  await mkdir(folder)
  for (const path of ['../outside', join(root, 'outside'), '..', '']) {
    const [own, other] = ranksInMemory(2, 2)
    const files = new RankFiles(backend(), own!, settings)
    const attack = async () => {
      for (let order = 0; order < 2; order++) await other!.gather(`order/${order}`, null)
      await other!.gather('files/0/1/0', { path, bytes: new Uint8Array([1]) }, undefined, [0, 1])
      await other!.gather('order/2', null)
    }
    const wrong = files.during('end', () => files.write(folder, [0, 1]))
    const [ended] = await Promise.allSettled([wrong, attack()])
    t.is(ended.status, 'rejected', path)
    t.is((ended as PromiseRejectedResult).reason.code, 'ERR_RANK')
  }
  t.false(existsSync(join(root, 'outside')))
})

test('nor can rank 0 make a rank write where no mark of it lies', async (t) => {
  const root = await temporaryFolder(t)
  await writeFile(join(root, 'passwd'), '')
  const [own, other] = ranksInMemory(2, 2)
  const files = new RankFiles(backend(), other!, settings)
  const order = { kind: 'weights', number: 0, directory: root, mark: 'passwd', policies: [1] }
  const lead = async () => {
    await own!.gather('order/0', order)
    const [, part] = await own!.gather<unknown>('files/0/1/0', null, undefined, [0, 1])
    t.like(part, { path: 'policy-1.x' })
    await own!.gather('files/0/1/1', null, undefined, [0, 1])
    await own!.gather('order/1', { kind: 'end' })
  }
  await Promise.all([files.during('end', async () => {}), lead()])
  t.false(existsSync(join(root, 'policy-1.x')))
})

test('one rank judges a slot, in all turns; the ranks of a row judge all of them', (t) => {
  const slots = [3, 4, 5, 6, 7]
  const rows = ranksInMemory(4, 2).map((ranks) => new Row({ ranks, columnOf: (policy) => policy }, 'x', slots))
  const judged = rows.map((row) => slots.filter((slot) => row.judges(slot)))
  t.deepEqual(judged, [
    [3, 4],
    [3, 4],
    [5, 6, 7],
    [5, 6, 7],
  ])
})
