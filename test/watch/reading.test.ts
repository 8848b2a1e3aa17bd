import { spawnSync } from 'node:child_process'
import { appendFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { downsample } from '../../lib/watch/downsample.ts'
import { findRuns } from '../../lib/watch/find-runs.ts'
import { JsonLinesTail, type TailRead } from '../../lib/watch/json-lines-tail.ts'
import { RunReader } from '../../lib/watch/run-reader.ts'
import { type RecordedResult, readStatus, silentMs } from '../../lib/watch/run-status.ts'
import { addSteps, fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** A process id that is free: that of a process which has just ended. */
const gonePid = () => spawnSync(process.execPath, ['-e', '']).pid

test('a short curve stays as it is', (t) => {
  t.deepEqual(downsample([1, 2, 5], [3, 1, 2], 3), { step: [1, 2, 5], value: [3, 1, 2] })
})

test('a long curve keeps its ends, extremes and mean, in few points', (t) => {
  const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 500 })
  fc.assert(
    fc.property(values, fc.integer({ min: 2, max: 40 }), (value, points) => {
      const step = value.map((_, index) => index + 1)
      const { step: at, value: mean, low = mean, high = mean } = downsample(step, value, points)
      t.true(at.length <= points)
      t.deepEqual(
        at,
        [...at].sort((a, b) => a - b),
      )
      t.is(at.at(-1), value.length)
      t.is(mean.at(-1), value.at(-1))
      t.is(Math.min(...low), Math.min(...value))
      t.is(Math.max(...high), Math.max(...value))
      t.true(mean.every((each, index) => each >= low[index]! - 1e-6 && each <= high[index]! + 1e-6))
    }),
  )
})

test('points of a growing curve stay where they are', (t) => {
  const curve = (count: number) =>
    downsample(
      Array.from({ length: count }, (_, index) => index),
      Array.from({ length: count }, (_, index) => index ** 2),
      32,
    )
  const [shorter, longer] = [curve(900), curve(910)]
  t.deepEqual(longer.step.slice(0, 25), shorter.step.slice(0, 25))
})

async function readAll(tail: JsonLinesTail): Promise<TailRead> {
  const all: TailRead = { isReset: false, lines: [] }
  await tail.read(({ isReset, lines }) => {
    if (isReset) all.lines = []
    all.isReset ||= isReset
    all.lines.push(...lines)
  })
  return all
}

test('a growing file is read line by line, a half line later', async (t) => {
  const path = join(await temporaryFolder(t), 'x.jsonl')
  const tail = new JsonLinesTail(path)
  t.deepEqual((await readAll(tail)).lines, [])
  await writeFile(path, '{"a":"ä"}\n{"b":')
  t.deepEqual((await readAll(tail)).lines, [{ value: { a: 'ä' }, number: 1, offset: 0, length: 10 }])
  t.deepEqual((await readAll(tail)).lines, [])
  await appendFile(path, '1}\nno json\n[1]\n')
  const { lines, isReset } = await readAll(tail)
  t.false(isReset)
  t.deepEqual(lines[0], { value: { b: 1 }, number: 2, offset: 11, length: 7 })
  t.deepEqual(
    lines.slice(1).map(({ value, number }) => [value, number]),
    [
      [undefined, 3],
      [undefined, 4],
    ],
  )
})

test('a file larger than one read arrives whole', async (t) => {
  const path = join(await temporaryFolder(t), 'x.jsonl')
  const text = 'é'.repeat(700_000)
  await writeFile(path, [1, 2, 3].map((n) => `${JSON.stringify({ n, text })}\n`).join(''))
  const { lines } = await readAll(new JsonLinesTail(path))
  t.deepEqual(
    lines.map(({ value }) => value?.n),
    [1, 2, 3],
  )
  t.is(lines[2]!.value?.text, text)
})

test('a file that was cut back and written again is read anew', async (t) => {
  const path = join(await temporaryFolder(t), 'x.jsonl')
  const tail = new JsonLinesTail(path)
  await writeFile(path, '{"n":1}\n{"n":2}\n')
  await readAll(tail)
  await truncate(path, 8)
  t.deepEqual(await readAll(tail), { isReset: true, lines: [{ value: { n: 1 }, number: 1, offset: 0, length: 7 }] })
  await truncate(path, 0)
  await appendFile(path, '{"n":7}\n{"n":8}\n')
  const again = await readAll(tail)
  t.true(again.isReset)
  t.deepEqual(
    again.lines.map(({ value }) => value?.n),
    [7, 8],
  )
  await rm(path)
  t.true((await readAll(tail)).isReset)
})

test('how a run stands: lock, result, silence', async (t) => {
  const folder = await temporaryFolder(t)
  const status = async (result: RecordedResult | undefined, silence: number, lock?: object) => {
    await rm(join(folder, 'lock.json'), { force: true })
    if (lock) await writeFile(join(folder, 'lock.json'), JSON.stringify(lock))
    return (await readStatus(folder, result, 1e12, 1e12 + silence)).status
  }
  const dead = { pid: gonePid(), host: hostname() }
  t.is(await status(undefined, 0), 'running')
  t.is(await status(undefined, silentMs), 'dead')
  t.is(await status(undefined, 0, dead), 'dead')
  t.is(await status(undefined, silentMs, { pid: process.pid, host: hostname() }), 'running')
  t.is(await status({ reason: 'finished' }, silentMs, dead), 'finished')
  t.is(await status({ reason: 'finished' }, 0), 'finished')
  t.is(await status({ reason: 'stopped' }, 0, { pid: process.pid, host: hostname() }), 'running')
  // The other machine's processes cannot be looked up.
  t.is(await status(undefined, 0, { pid: dead.pid, host: 'elsewhere' }), 'running')
  t.is(await status(undefined, silentMs, { pid: process.pid, host: 'elsewhere' }), 'dead')
})

test('a run folder is read, and again when it grows', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'run'), { steps: 3 })
  const reader = new RunReader(folder, 'run', 'run')
  t.true(await reader.refresh())
  t.false(await reader.refresh())
  const { summary } = reader
  t.like(summary, {
    name: 'haiku',
    status: 'running',
    task: 'haiku',
    algorithm: 'magrpo',
    done: 3,
    steps: 3,
    samples: 3,
  })
  t.deepEqual(summary.agents, ['first', 'second'])
  t.deepEqual(summary.warnings, ['Step 2: something to look at.'])
  t.deepEqual(summary.notes, [])
  t.deepEqual(reader.series('memory/rss_bytes', 10)?.step, [1, 2, 3])
  await appendFile(join(folder, 'metrics.jsonl'), '\u0000\u0000{"step":4\n')
  await addSteps(folder, 4, 4)
  t.true(await reader.refresh())
  t.is(reader.summary.done, 4)
  t.true(reader.summary.version > summary.version)
  t.deepEqual(reader.summary.notes, ['metrics.jsonl: line 4 is not readable and was skipped'])
  t.deepEqual(reader.sampleGroups.at(-1), { step: 4, phase: 'train', count: 1 })
  t.is((await reader.samples(4, 'train'))[0]?.agents[1]?.completion, 'second wrote <b>this</b>\n# after 4 steps')
})

test('a resumed run that cut its files back shows no step twice', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'run'), { steps: 6 })
  const reader = new RunReader(folder, 'run', 'run')
  await reader.refresh()
  for (const file of ['metrics.jsonl', 'samples.jsonl']) {
    const lines = (await readFile(join(folder, file), 'utf8')).split('\n')
    await writeFile(join(folder, file), `${lines.slice(0, 4).join('\n')}\n`)
  }
  // Timings of the steps that are computed again come a second time where they were not cut.
  await addSteps(folder, 5, 7)
  await reader.refresh()
  t.deepEqual(reader.series('reward/mean', 100)?.step, [1, 2, 3, 4, 5, 6, 7])
  t.deepEqual(reader.series('time/generate_tokens_per_s', 100)?.step, [1, 2, 3, 4, 5, 6, 7])
  t.deepEqual(
    reader.sampleGroups.map(({ step }) => step),
    [1, 2, 3, 4, 5, 6, 7],
  )
})

test('a run without a name of its own is called after its folder', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'seed-3'), { name: 'run' })
  const reader = new RunReader(folder, 'x', 'seed-3')
  await reader.refresh()
  t.is(reader.summary.name, 'seed-3')
})

test('a broken configuration is a note', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'mine'))
  await writeFile(join(folder, 'config.yaml'), 'a: [')
  const reader = new RunReader(folder, 'mine', 'mine')
  await reader.refresh()
  t.is(reader.summary.name, 'mine')
  t.regex(reader.summary.notes[0]!, /^config\.yaml: cannot be read/)
})

test('runs are found where they are, and in folders of runs', async (t) => {
  const root = await temporaryFolder(t)
  await fakeRun(join(root, 'runs/b'))
  await fakeRun(join(root, 'runs/a'))
  await mkdir(join(root, 'runs/empty'))
  await fakeRun(join(root, 'comparisons/x/runs/trained'))
  await writeFile(join(root, 'comparisons/x/config.yaml'), 'name: x\n')
  await writeFile(join(root, 'comparisons/x/environment.json'), '{}')
  const ids = async (...places: string[]) => (await findRuns(places, root)).map(({ id }) => id)
  t.deepEqual(await ids('runs'), ['runs/a', 'runs/b'])
  t.deepEqual(await ids('runs/b', 'runs'), ['runs/b', 'runs/a'])
  t.deepEqual(await ids('comparisons'), ['comparisons/x/runs/trained'])
  t.deepEqual(await ids('nothing'), [])
})
