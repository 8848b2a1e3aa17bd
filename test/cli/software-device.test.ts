import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'ava'
import { addonPath, loadAddon } from '../../lib/native/load-addon.ts'
import { runCli } from '../support/cli.ts'
import { runProgram } from '../support/native-processes.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const library = join(dirname(addonPath()), 'magrpo_software_cuda.so')
const without = existsSync(library) ? null : 'this build has no software device'

const yaml = `name: tiny
team: { model: 'builtin:mini-code', adapter: full }
task: mini-code
algorithm: { groupSize: 4 }
sampling: { temperature: 1 }
optimizer: { learningRate: 5.0e-4, maxGradNorm: 1 }
steps: 2
promptsPerStep: 2
evalEvery: 0
`

interface SampleRow {
  step: number
  agents: { completion: string }[]
}

const linesOf = <T>(folder: string, file: string): T[] =>
  readFileSync(join(folder, file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T)

/** What a run wrote and did. */
function outcome(folder: string) {
  const texts = linesOf<SampleRow>(folder, 'samples.jsonl').map(({ agents }) => agents.map((agent) => agent.completion))
  const norms = linesOf<Record<string, number>>(folder, 'metrics.jsonl').flatMap((row) => row['train/grad_norm'] ?? [])
  return { texts, norms }
}

test('a team trains on software devices as it does on the CPU, with and without streams of its own', async (t) => {
  if (without !== null) return skipBecause(t, without)
  t.timeout(600_000)
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'tiny.yaml'), yaml)
  const train = async (name: string, device: string, env: Record<string, string>) => {
    const args = ['train', 'tiny.yaml', '--run-dir', name, '--quiet', '--set', `team.${device}`]
    const { code, stderr } = await runCli(args, { cwd: folder, env })
    t.is(code, 0, stderr)
    t.is(/software devices, not GPUs/.test(stderr), device !== 'device=cpu', stderr)
    return outcome(join(folder, name))
  }
  const software = { MAGRPO_DEVICE: 'software' }
  const expected = await train('cpu', 'device=cpu', {})
  t.true(expected.norms.some((norm) => norm > 0))
  const switches = { MAGRPO_CUDA_STREAMS: '1', MAGRPO_CUDA_PINNED: '1', MAGRPO_CUDA_GRAPHS: '1' }
  for (const seen of [
    await train('plain', 'device=cuda:1', software),
    await train('streams', 'device=cuda:0', { ...software, ...switches }),
    await train('each', 'devices=[cuda:0,cuda:1]', software),
    await train('mixed', 'devices={aux: cuda:1, main: cpu}', software),
  ]) {
    t.deepEqual(seen.texts, expected.texts)
    t.is(seen.norms.length, expected.norms.length)
    for (const [i, norm] of seen.norms.entries())
      t.true(Math.abs(norm - expected.norms[i]!) <= 1e-4 * expected.norms[i]!)
  }
  const environment = JSON.parse(readFileSync(join(folder, 'plain/environment.json'), 'utf8'))
  t.is(environment.native.variant, 'software')
})

test('doctor says that a software device is no GPU, and auto does not choose it', async (t) => {
  if (without !== null) return skipBecause(t, without)
  const { stdout } = await runCli(['doctor'], { env: { MAGRPO_DEVICE: 'software' } })
  t.regex(stdout, /cuda +software device, not a GPU/)
  const source = `
    process.env.MAGRPO_DEVICE = 'software'
    const { Model } = await lib('model/model.ts')
    const model = await Model.load('builtin:mini-code')
    console.log(model.device)`
  t.is((await runProgram(source)).stdout.trim(), 'cpu')
})

test('without MAGRPO_DEVICE nothing of the software device is loaded', async (t) => {
  if (loadAddon().info().variant !== 'cpu') return skipBecause(t, 'this is a CUDA build')
  const source = `
    const { loadAddon } = await lib('native/load-addon.ts')
    const { cuda } = loadAddon().info()
    const { readFileSync } = await import('node:fs')
    console.log(cuda.reason, readFileSync('/proc/self/maps', 'utf8').includes('magrpo_software_cuda'))`
  t.is((await runProgram(source)).stdout.trim(), 'cpu_build false')
})

test('another value of MAGRPO_DEVICE is refused', async (t) => {
  if (without !== null) return skipBecause(t, without)
  const { stdout } = await runCli(['doctor'], { env: { MAGRPO_DEVICE: 'gpu' } })
  t.regex(stdout, /Expected "software" in MAGRPO_DEVICE, or nothing, but received "gpu"/)
})
