import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { ratioPicture, reached } from '../../bench/picture.ts'
import { mergeRecord, readRecord, replaceSection, sections, writeReport } from '../../bench/report.ts'
import { failedRow, finishRow, rowSpec } from '../../bench/rows.ts'
import { kernelCells } from '../../bench/suites/kernels.ts'
import { scalingPoints } from '../../bench/suites/scaling.ts'

const row = (id: string, model: string, ours: number, peer: number) => finishRow(rowSpec(id), model, { ours, peer })

test('rows that are measured again replace the old ones, in the order of the table', async (t) => {
  const before = { rows: [row('ragged', 'tiny', 4, 1)], kernels: null, scaling: null, machine: null }
  const merged = mergeRecord(before, { rows: [row('ragged', 'tiny', 5, 1), row('gen-own', 'm30', 3, 1)] })
  t.deepEqual(
    merged.rows.map(({ id, model, ratio }) => [id, model, ratio]),
    [
      ['gen-own', 'm30', 3],
      ['ragged', 'tiny', 5],
    ],
  )
})

test('a section is replaced between its marks and nowhere else', (t) => {
  t.is(replaceSection('a\n<!-- x -->\nold\n<!-- /x -->\nb', 'x', 'new'), 'a\n<!-- x -->\nnew\n<!-- /x -->\nb')
  t.throws(() => replaceSection('a', 'x', 'new'), { message: /Expected the marks <!-- x -->/ })
})

test('a report is written from the record, and read back', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'))
  const names = ['machine', 'peers', 'limits', 'scale', 'kernels', 'scaling']
  await writeFile(join(folder, 'benchmarks.md'), names.map((name) => `<!-- ${name} -->\n<!-- /${name} -->\n`).join(''))
  t.deepEqual((await readRecord(folder)).rows, [])
  const record = mergeRecord(await readRecord(folder), {
    rows: [row('gen-own', 'tiny', 6, 1), row('train-roof', 'm30', 1, 2)],
  })
  await writeReport(folder, record)
  t.deepEqual(await readRecord(folder), record)
  const page = await readFile(join(folder, 'benchmarks.md'), 'utf8')
  t.true(page.includes('| gen-own | tiny | 6.00 | 1.00 | tokens/s | 6.00 | ≥ 6.00 | yes |'))
  t.true(page.indexOf('gen-own') < page.indexOf('train-roof'))
  t.true((await readFile(join(folder, 'images/benchmarks.svg'), 'utf8')).includes('gen-own / tiny'))
})

test('the page of the repository has all marks', async (t) => {
  const page = await readFile(new URL('../../docs/benchmarks.md', import.meta.url), 'utf8')
  for (const name of Object.keys(sections({ rows: [], kernels: null, scaling: null, machine: null })))
    t.notThrows(() => replaceSection(page, name, ''))
})

test('the picture shows rows that have a ratio, by the share of their goal', (t) => {
  t.is(reached(row('gen-own', 'tiny', 12, 1)), 2)
  t.is(reached(row('memory-lora', 'm30', 70, 100)), 0.5)
  const svg = ratioPicture([
    row('gen-own', 'tiny', 12, 1),
    row('memory-lora', 'm30', 70, 100),
    failedRow(rowSpec('ragged'), 'tiny', 'x'),
  ])
  t.is(svg.match(/class="met"/g)?.length, 1)
  t.is(svg.match(/class="short"/g)?.length, 1)
  t.false(svg.includes('ragged'))
  t.is(ratioPicture([]).match(/class="met"/g), null)
})

test('kernels are shown with rates and their share of the roof', (t) => {
  const { header, lines } = kernelCells([
    {
      kernel: 'k',
      shape: 's',
      seconds: 1e-6,
      least: 1e-6,
      aten: 3e-6,
      bytes: 2048,
      operations: 4e6,
      bandwidth: 4e9,
      peak: 1e12,
      share: 0.5,
    },
  ])
  t.is(header.length, lines[0]!.length)
  t.deepEqual(lines[0]!.slice(2), ['1.00', '3.00', '3.00', '2.00', '4.00', '2.05', '4000', '50 %'])
})

test('scaling has agents up to eight and one point a thread count', (t) => {
  const points = scalingPoints(2)
  t.deepEqual(
    points.agents.map(({ agents }) => agents),
    [1, 2, 4, 8],
  )
  t.deepEqual(
    points.threads.map(({ threads }) => threads),
    [1, 2],
  )
  t.is(scalingPoints(1).threads.length, 1)
})
