/** What magrpo writes for TensorBoard, TensorBoard's own reader opens. */
import { readdir, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { tensorBoard } from '../../lib/track/tensorboard.ts'
import { fakeEnd, fakeEval, fakeOptions, fakeStep } from '../support/fake-reports.ts'
import { referencePython, runReference } from '../support/reference-python.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

interface Found {
  values: Record<string, [step: number, value: number | string][]>
  plugins: Record<string, string>
  records: number
}

const read = async (python: string, folder: string) =>
  (await runReference(python, 'read_events.py', [folder], []))[0] as Found

async function write(folder: string, from: number, to: number, metrics: Record<string, number> = {}) {
  const tracker = tensorBoard()
  await tracker.start({ name: 'haiku', folder, options: fakeOptions })
  if (from === 1) await tracker.evaluation(fakeEval(0))
  for (let index = from; index <= to; index++) await tracker.step(fakeStep(index, metrics))
  await tracker.end(fakeEnd)
}

const float32 = (value: number) => Math.fround(value)
const steps = (t: ExecutionContext, found: Found, tag: string) => {
  t.truthy(found.values[tag], `${tag} among ${Object.keys(found.values).join(', ')}`)
  return found.values[tag]
}

test.serial('scalars and texts come back under their names', async (t) => {
  const python = await referencePython(t)
  if (python === undefined) return
  const folder = await temporaryFolder(t)
  await write(folder, 1, 25, { 'train/learning_rate': 5e-6, 'reward/größe': -1e30 })
  const found = await read(python, folder)
  t.deepEqual(
    steps(t, found, 'reward/mean'),
    Array.from({ length: 25 }, (_, i) => [i + 1, float32((i + 1) / 10)]),
  )
  t.deepEqual(steps(t, found, 'eval/reward/mean'), [[0, 0]])
  t.deepEqual(steps(t, found, 'train/learning_rate')?.[0], [1, float32(5e-6)])
  t.deepEqual(steps(t, found, 'reward/größe')?.[0], [1, float32(-1e30)])
  t.deepEqual(steps(t, found, 'memory/rss_bytes')?.[24], [25, 2 ** 28])
  t.is(found.plugins['samples/train'], 'text')
  t.deepEqual(
    steps(t, found, 'samples/train')?.map(([step]) => step),
    [1, 10, 20],
  )
  t.regex(String(found.values['samples/train']?.[1]?.[1]), / {4}first wrote <b>this<\/b>\n {4}# after 10 steps/)
  t.regex(String(steps(t, found, 'options')?.[0]?.[1]), /name: haiku/)
  // One version, one start, one evaluation, 25 steps.
  t.is(found.records, 28)
})

test.serial('a resumed run replaces the steps after its checkpoint', async (t) => {
  const python = await referencePython(t)
  if (python === undefined) return
  const folder = await temporaryFolder(t)
  await write(folder, 1, 6)
  // Readers take files in the order of their names; a second start within the same second has the next number.
  await write(folder, 4, 8, { 'reward/mean': 9 })
  const found = await read(python, folder)
  t.deepEqual(
    steps(t, found, 'reward/mean')?.map(([step]) => step),
    [1, 2, 3, 4, 5, 6, 7, 8],
  )
  t.deepEqual(
    found.values['reward/mean']?.slice(3).map(([, value]) => value),
    [9, 9, 9, 9, 9],
  )
})

test.serial('a file cut in the middle of a record is read up to there', async (t) => {
  const python = await referencePython(t)
  if (python === undefined) return
  const folder = await temporaryFolder(t)
  await write(folder, 1, 5)
  const path = join(folder, (await readdir(folder))[0]!)
  const { length } = await readFile(path)
  await truncate(path, length - 5)
  const found = await read(python, folder)
  t.is(steps(t, found, 'reward/mean')?.length, 4)
})
