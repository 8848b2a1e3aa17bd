import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { type GpuResults, gpuSection, notMeasured, readGpu, writeGpu } from '../../bench/suites/gpu.ts'
import { addonPath } from '../../lib/native/load-addon.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const results: GpuResults = {
  at: '2026-12-01T00:00:00.000Z',
  device: 'cuda:0',
  name: 'A GPU',
  isGpu: true,
  quick: false,
  libtorch: '2.14.1 cu130',
  shape: { layers: 28, hidden: 1024, heads: 16, kvHeads: 8, headDim: 128, mlp: 3072, vocab: 151_936 },
  promptTokens: 128,
  newTokens: 64,
  roofs: { bytesPerSecond: 3.2e12, float32: 5e13, bfloat16: 7e14 },
  peers: { torch: '2.14.1', transformers: '5.0.0' },
  rows: [
    {
      what: 'decoding, 8 rows',
      dtype: 'bfloat16',
      ours: 800,
      unit: 'tokens/s',
      share: 0.05,
      of: 'bandwidth',
      peer: 200,
      ratio: 4,
      note: '',
    },
    {
      what: "a team's step",
      dtype: 'float32',
      ours: null,
      unit: 's',
      share: null,
      of: null,
      peer: null,
      ratio: null,
      note: 'out of memory',
    },
  ],
}

test('the page of GPUs shows what is recorded beside it, and says where nothing is', async (t) => {
  const docs = join(repositoryDir, 'docs')
  const page = readFileSync(join(docs, 'gpu.md'), 'utf8')
  t.true(page.includes(`<!-- gpu -->\n${gpuSection(await readGpu(docs))}\n<!-- /gpu -->`))
  t.is(gpuSection(null), notMeasured)
})

test('results of a GPU are recorded in a folder and its page, those of the software device are not', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'gpu.md'), `# GPUs\n\n<!-- gpu -->\n${notMeasured}\n<!-- /gpu -->\n\nEnd.\n`)
  t.regex(await writeGpu(folder, { ...results, isGpu: false }), /software device is no GPU/)
  t.is(await readGpu(folder), null)
  await writeGpu(folder, results)
  t.deepEqual(await readGpu(folder), results)
  const page = await readFile(join(folder, 'gpu.md'), 'utf8')
  t.true(page.includes('| decoding, 8 rows | bfloat16 | 800 | 200 | tokens/s | 4.00 | 5.00 % of bandwidth |  |'), page)
  t.true(page.includes("| a team's step | float32 | – | – | s | – | – | out of memory |"), page)
  t.regex(page, /3200 GB\/s by a large copy, 50\.0 TFLOP\/s in float32 and 700 in bfloat16[\s\S]*End\./)
})

test('the suite of a GPU runs to its end on the software device', async (t) => {
  if (!existsSync(join(dirname(addonPath()), 'magrpo_software_cuda.so')))
    return skipBecause(t, 'this build has no software device')
  t.timeout(600_000)
  const env = { ...process.env, MAGRPO_DEVICE: 'software' }
  const args = [`--import=${import.meta.resolve('tsx')}`, 'bench/main.ts', 'gpu', '--quick', '--json']
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: repositoryDir, env })
  const { gpu } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { gpu: GpuResults }
  t.like(gpu, { isGpu: false, name: 'software device', peers: 'PyTorch cannot use the software device' })
  for (const row of gpu.rows) {
    t.true(row.ours! > 0, `${row.what}: ${row.note}`)
    t.is(row.note, '')
    t.true(row.of === null || (row.share! > 0 && row.share! < 1), `${row.what}: ${row.share}`)
  }
  t.deepEqual(
    gpu.rows.map(({ what, dtype }) => `${what} ${dtype}`).filter((name) => /64|step|update/.test(name)),
    [
      'decoding, 64 rows float32',
      'decoding, 64 rows bfloat16',
      'update of one agent float32',
      'update of one agent bfloat16',
      "a team's step float32",
    ],
  )
})
