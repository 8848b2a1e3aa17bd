import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'ava'
import { addonPath } from '../../lib/native/load-addon.ts'
import { runCli } from '../support/cli.ts'
import { writeConfig } from '../support/kill-runs.ts'
import { runProgram } from '../support/native-processes.ts'
import { runRanks } from '../support/rank-runs.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const without = existsSync(join(dirname(addonPath()), 'magrpo_software_cuda.so'))
  ? null
  : 'this build has no software device'
const offload = ['--set', 'optimizer.offload=true']
const env = { MAGRPO_DEVICE: 'software' }
const team = (adapter: string) => `adapter: ${adapter}, dtype: bfloat16, devices: [cuda:0, cuda:1]`

/** Checksums of weights and optimizers of a checkpoint. */
function sumsOf(run: string, step: number): Record<string, string> {
  const folder = join(run, `checkpoints/step-${step}`)
  const sumOf = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex')
  const names = readdirSync(folder).filter((name) => name.endsWith('.safetensors'))
  return Object.fromEntries(names.map((name) => [name, sumOf(name)]))
}

test.serial(
  'offloaded: the same bytes as on the device, also of a resumed run, and a plan that says where they are',
  async (t) => {
    if (without !== null) return skipBecause(t, without)
    t.timeout(600_000)
    const folder = await temporaryFolder(t)
    for (const adapter of ['full', '{ rank: 4 }']) {
      const more = 'keepCheckpoints: 10\n'
      const args = [...(await writeConfig(folder, { team: team(adapter), more })), '--set', 'steps=4']
      const settings = ['--set', 'evalEvery=0', '--set', 'checkpointEvery=2', '--set', 'optimizer.moments=int8']
      const name = (kind: string) => `${adapter === 'full' ? 'full' : 'lora'}-${kind}`
      const run = async (kind: string, ...words: string[]) => {
        const command = ['train', ...args, ...settings, ...words, '--run-dir', name(kind), '--quiet']
        const { code, stderr } = await runCli(command, { cwd: folder, env })
        t.is(code, 0, stderr)
        return sumsOf(join(folder, name(kind)), 4)
      }
      const plain = await run('plain')
      t.is(Object.keys(plain).length, 4)
      t.deepEqual(await run('offloaded', ...offload), plain)
      const going = join(folder, name('resumed'))
      await cp(join(folder, name('offloaded')), going, { recursive: true })
      await rm(join(going, 'checkpoints/step-4'), { recursive: true })
      for (const file of ['final', 'result.json']) await rm(join(going, file), { recursive: true, force: true })
      const resumed = await runCli(['resume', name('resumed'), '--quiet'], { cwd: folder, env })
      t.is(resumed.code, 0, resumed.stderr)
      t.deepEqual(sumsOf(going, 4), plain)

      const partsOf = async (...words: string[]) => {
        const { stdout, stderr } = await runCli(['train', ...args, ...words, '--dry-run', '--json'], {
          cwd: folder,
          env,
        })
        const { devices } = (JSON.parse(stdout) as { memory?: Plan } & Plan).memory ?? (JSON.parse(stdout) as Plan)
        t.truthy(devices, stderr)
        return new Map(
          devices.flatMap(({ device, parts }) => parts.map((part) => [`${device} ${part.name}`, part.bytes])),
        )
      }
      const [there, here] = [await partsOf(), await partsOf(...offload)]
      const moments = (of: Map<string, number>, device: string) => of.get(`${device} moments`) ?? 0
      t.is(moments(here, 'cpu'), moments(there, 'cuda:0') + moments(there, 'cuda:1'))
      t.is(moments(here, 'cuda:0'), 0)
      t.true(here.get('cuda:0 staging')! > 0)
    }
  },
)

interface Plan {
  devices: { device: string; parts: { name: string; bytes: number }[] }[]
}

test.serial('offloaded: refused on the processor, with the reason', async (t) => {
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder, { team: 'adapter: full, device: cpu' })
  const { code, stderr } = await runCli(['train', ...args, ...offload, '--run-dir', 'cpu'], { cwd: folder })
  t.is(code, 1, stderr)
  t.regex(stderr, /optimizer\.offload: expected agents on CUDA devices .*'left', 'right' train on the processor/)
})

test.serial('offloaded: the same bytes where two processes share the optimizer', async (t) => {
  if (without !== null) return skipBecause(t, without)
  t.timeout(600_000)
  const folder = await temporaryFolder(t)
  const args = await writeConfig(folder, { team: 'adapter: full, dtype: bfloat16, device: cuda:0' })
  const settings = ['--set', 'steps=2', '--set', 'evalEvery=0', '--set', 'optimizer.sharded=true', '--quiet']
  const run = async (name: string, ...words: string[]) => {
    const command = ['train', ...args, ...settings, ...words, '--run-dir', name]
    const { code, stderr } = await runRanks(2, command, { cwd: folder, env })
    t.is(code, 0, stderr)
    return sumsOf(join(folder, name), 2)
  }
  t.deepEqual(await run('offloaded', ...offload), await run('plain'))
})

/** Three runs of a team on one device: what that holds after each, and what the optimizer takes. */
const program = `
process.env.MAGRPO_DEVICE = 'software'
const { Model, Policy, Team, train, magrpo, defineTask } = await lib('index.ts')
const { freeMemoryOf } = await lib('native/free-memory.ts')
const policy = await Policy.full(await Model.load(process.argv.at(-1), { device: 'cuda:0', dtype: 'bfloat16' }))
const team = await Team.of([{ name: 'one', policy }])
const task = defineTask({
  name: 'letters',
  agents: ['one'],
  items: ['one', 'two'],
  observe: (item) => item,
  reward: (item, [{ text }]) => new Set(text).size / 24,
  defaults: { maxNewTokens: 6 },
})
const held = []
for (const offload of [false, true, false]) {
  await train({ team, task, algorithm: magrpo({ groupSize: 3 }), optimizer: { learningRate: 0.01, offload }, steps: 1 }).result
  held.push(freeMemoryOf('cuda:0').heldBytes)
}
console.log(JSON.stringify({ held, state: await policy.withNative((native) => native.optimizerBytes()) }))
`

test.serial(
  'offloaded: a device holds no moments and masters between steps, and has them back for a run without',
  async (t) => {
    if (without !== null) return skipBecause(t, without)
    const { stdout, stderr } = await runProgram(program, [tinyModel({ tokenizer: true })])
    const line = stdout.trim().split('\n').at(-1)!
    t.true(line.startsWith('{'), stderr)
    const { held, state } = JSON.parse(line) as { held: [number, number, number]; state: number }
    for (const whole of [held[0], held[2]]) t.true(Math.abs((whole - held[1]) / state - 1) < 0.05, line)
  },
)
