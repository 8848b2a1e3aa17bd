import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { addonPath } from '../../lib/native/load-addon.ts'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { runProgram } from '../support/native-processes.ts'
import { ranksBelow, runRanks } from '../support/rank-runs.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const config = {
  team: 'adapter: full, dtype: bfloat16',
  agents: ['left', 'right'],
  more: 'deterministic: true\nevalSamples: 2\nkeepCheckpoints: 10\n',
}
const settings = ['--set', 'promptsPerStep=3', '--set', 'steps=8', '--set', 'optimizer.moments=int8', '--quiet']
const sharded = ['--set', 'optimizer.sharded=true']

/** Checksums of weights and optimizers of a checkpoint. */
const checkpointOf = (run: string, step: number) => sumsBelow(join(run, `checkpoints/step-${step}`))

function sumsBelow(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.safetensors'))
  const sumOf = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex')
  return Object.fromEntries(names.map((name) => [name, sumOf(name)]))
}

/** Waits until a run has so many lines of metrics, then does something to one of its ranks. */
const whenLines = (run: string, least: number, rank: number, signal: NodeJS.Signals) => ({
  onSpawn: async (child: { exitCode: number | null; pid?: number }) => {
    const lines = () =>
      readFile(join(run, 'metrics.jsonl'), 'utf8').then(
        (text) => text.split('\n').length - 1,
        () => 0,
      )
    while (child.exitCode === null && (await lines()) < least) await sleep(10)
    const victim = ranksBelow(child.pid!).get(rank)
    if (victim !== undefined) process.kill(victim, signal)
  },
})

test.serial(
  'sharded: the same bytes and checkpoints as unsharded, with 2 and 3 ranks, killed and stopped',
  async (t) => {
    const folder = await temporaryFolder(t)
    const at = (name: string) => join(folder, name)
    const args = [...(await writeConfig(folder, config)), ...settings]
    const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
    t.is(one.code, 0, one.stderr)
    const whole = outcomeOfRun(at('one'))

    const two = await runRanks(2, ['train', ...args, ...sharded, '--run-dir', 'two'], { cwd: folder })
    t.is(two.code, 0, two.stderr)
    t.deepEqual(outcomeOfRun(at('two')), whole)
    for (const step of [4, 8]) t.deepEqual(checkpointOf(at('two'), step), checkpointOf(at('one'), step), `step ${step}`)

    // Killed on three ranks, it goes on with one, which has no ranks to spread anything over.
    const killed = await runRanks(3, ['train', ...args, ...sharded, '--run-dir', 'three'], {
      cwd: folder,
      ...whenLines(at('three'), 6, 2, 'SIGKILL'),
    })
    t.is(killed.code, 1)
    const alone = await runRanks(1, ['resume', 'three', '--quiet'], { cwd: folder })
    t.is(alone.code, 0, alone.stderr)
    t.deepEqual(outcomeOfRun(at('three')), whole)
    t.deepEqual(checkpointOf(at('three'), 8), checkpointOf(at('one'), 8))

    // Ctrl-C at a rank that keeps nothing: the last step is saved, by both, and three go on.
    const stopped = await runRanks(2, ['train', ...args, ...sharded, '--run-dir', 'stopped'], {
      cwd: folder,
      ...whenLines(at('stopped'), 6, 1, 'SIGINT'),
    })
    t.is(stopped.code, 130, stopped.stderr)
    const { reason, steps } = JSON.parse(await readFile(at('stopped/result.json'), 'utf8')) as {
      reason: string
      steps: number
    }
    t.is(reason, 'stopped')
    t.true(Object.keys(checkpointOf(at('stopped'), steps)).length > 0)
    const resumed = await runRanks(3, ['resume', 'stopped', '--quiet'], { cwd: folder })
    t.is(resumed.code, 0, resumed.stderr)
    t.deepEqual(outcomeOfRun(at('stopped')), whole)
  },
)

test.serial('sharded: one process and adapters are refused by name, and a plan knows the processes', async (t) => {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder, config)), ...settings]
  const one = await runRanks(1, ['train', ...args, ...sharded, '--run-dir', 'one'], { cwd: folder })
  t.is(one.code, 1)
  t.regex(one.stderr, /optimizer\.sharded.*expected several processes.*--processes 2/)

  const bytesOf = async (...more: string[]) => {
    const { code, stdout, stderr } = await runRanks(2, ['train', ...args, '--dry-run', '--json', ...more], {
      cwd: folder,
    })
    t.is(code, 0, stderr)
    const { devices } = JSON.parse(stdout) as { devices: { parts: { name: string; bytes: number }[] }[] }
    const part = (name: string) => devices[0]!.parts.find((each) => each.name === name)!.bytes
    return { moments: part('moments'), masters: part('masters') }
  }
  const whole = await bytesOf()
  const shared = await bytesOf(...sharded)
  t.is(shared.moments, Math.ceil(whole.moments / 2))
  t.is(shared.masters, Math.ceil(whole.masters / 2))

  const adapters = [...(await writeConfig(folder)), ...settings]
  const lora = await runRanks(2, ['train', ...adapters, ...sharded, '--run-dir', 'lora'], { cwd: folder })
  t.is(lora.code, 1)
  t.regex(lora.stderr, /optimizer\.sharded.*'left', 'right' train adapters/)
})

test.serial('sharded: agents on two devices of each rank, in software', async (t) => {
  const library = join(dirname(addonPath()), 'magrpo_software_cuda.so')
  if (!existsSync(library)) return skipBecause(t, 'this build has no software device')
  t.timeout(600_000)
  const folder = await temporaryFolder(t)
  const team = 'adapter: full, dtype: bfloat16, devices: [cuda:0, cuda:1]'
  const args = [...(await writeConfig(folder, { team })), ...settings, '--set', 'steps=2', '--set', 'evalEvery=0']
  const run = async (name: string, ...more: string[]) => {
    const env = { MAGRPO_DEVICE: 'software' }
    const { code, stderr } = await runRanks(2, ['train', ...args, ...more, '--run-dir', name], { cwd: folder, env })
    t.is(code, 0, stderr)
    return sumsBelow(join(folder, name, 'checkpoints/step-2'))
  }
  const whole = await run('whole')
  t.is(Object.keys(whole).length, 4)
  t.deepEqual(await run('sharded', ...sharded), whole)
})

/** Three runs of a team, one after the other: with a spread optimizer, with value heads that come later, and whole again. */
const program = `
const [rank, size, port, model, folder] = process.argv.slice(-5)
process.env.OMP_NUM_THREADS = '1'
if (size !== '1') Object.assign(process.env, { RANK: rank, WORLD_SIZE: size, MASTER_ADDR: '127.0.0.1', MASTER_PORT: port })
const { Model, Policy, Team, train, magrpo, iac, defineTask } = await lib('index.ts')
const { writePolicyState } = await lib('model/policy-state.ts')
const { leaveRanks } = await lib('ranks/process-ranks.ts')
const policies = []
for (const name of ['left', 'right']) policies.push(await Policy.full(await Model.load(model, { device: 'cpu' })))
const team = await Team.of([{ name: 'left', policy: policies[0] }, { name: 'right', policy: policies[1] }])
const task = defineTask({
  name: 'letters',
  agents: ['left', 'right'],
  items: ['one', 'two', 'three'],
  observe: (item, agent) => item + agent,
  reward: (item, joint) => new Set(joint.map(({ text }) => text).join('')).size / 24,
  defaults: { maxNewTokens: 6 },
})
const isSpread = size !== '1'
const run = (algorithm, sharded) =>
  train({ team, task, algorithm, optimizer: { learningRate: 0.01, moments: 'int8', sharded }, steps: 2, promptsPerStep: 3, deterministic: true }).result
await run(magrpo({ groupSize: 3 }), isSpread)
if (isSpread) {
  const error = await policies[0].step({ learningRate: 0.1 }).catch((thrown) => thrown)
  console.log('step:', error.code)
}
await run(iac({ groupSize: 3, critic: { placement: 'shared', hiddenSize: 96 } }), isSpread)
await run(magrpo({ groupSize: 3 }), false)
if (rank === '0') for (const [index, policy] of policies.entries()) await writePolicyState(policy, folder + '/' + index)
await leaveRanks()
await team.dispose?.()
`

test.serial('sharded: runs of one team spread its optimizer, add value heads to it and gather it again', async (t) => {
  const model = tinyModel({ tokenizer: true })
  const outcome = async (size: number) => {
    const folder = await temporaryFolder(t)
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const ends = await Promise.all(
      Array.from({ length: size }, (_, rank) => runProgram(program, [`${rank}`, `${size}`, `${port}`, model, folder])),
    )
    for (const { code, stderr, stdout } of ends) {
      t.is(code, 0, stderr)
      if (size > 1) t.regex(stdout, /step: ERR_ARGUMENT/)
    }
    return sumsBelow(folder)
  }
  const whole = await outcome(1)
  t.is(Object.keys(whole).length, 6)
  t.deepEqual(await outcome(2), whole)
})
