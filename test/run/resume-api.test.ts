import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { resolveConfig } from '../../lib/config/load.ts'
import { ConfigError, defineTask, MagrpoError, Model, Policy, resume, Team, train } from '../../lib/index.ts'
import { prepareRun } from '../../lib/session/prepare-run.ts'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const task = defineTask({
  name: 'letters',
  agents: ['one', 'two'],
  items: [{ text: 'abc' }, { text: 'def' }, { text: 'ghi' }],
  heldOut: [{ text: 'xyz' }],
  observe: (item: { text: string }, agent: number) => `${item.text}${agent}`,
  reward: (_: unknown, joint) => new Set(joint.map(({ text }) => text).join('')).size / 16,
  defaults: { maxNewTokens: 8 },
})

const folder = tinyModel({ tokenizer: true })

/** Trains a fresh team; stops after step `stopAt`. */
async function trainOnce(runDir: string, { doesResume = false, stopAt = 0, seed = 0 } = {}): Promise<number[]> {
  const model = await Model.load(folder)
  const team = await Team.adapters(model, task.agents, { rank: 2 })
  try {
    const optimizer = { learningRate: 0.01 }
    const run = train({
      team,
      task,
      optimizer,
      steps: 8,
      evalEvery: 3,
      checkpointEvery: 2,
      runDir,
      resume: doesResume,
      seed,
    })
    const steps: number[] = []
    for await (const { index } of run) {
      steps.push(index)
      if (index === stopAt) run.stop()
    }
    return steps
  } finally {
    await team.dispose()
    await model.dispose()
  }
}

async function coded(t: ExecutionContext, work: Promise<unknown>, code: string): Promise<MagrpoError> {
  const error = await t.throwsAsync(work, { instanceOf: MagrpoError })
  t.is(error.code as string, code)
  return error
}

test('train with resume begins a run, goes on with it, and finds a finished one done', async (t) => {
  const root = await temporaryFolder(t)
  const [whole, parts] = [join(root, 'whole'), join(root, 'parts')]
  t.deepEqual(await trainOnce(whole), [1, 2, 3, 4, 5, 6, 7, 8])
  t.deepEqual(await trainOnce(parts, { doesResume: true, stopAt: 3 }), [1, 2, 3])
  t.deepEqual(await trainOnce(parts, { doesResume: true, stopAt: 5 }), [4, 5])
  t.deepEqual(await trainOnce(parts, { doesResume: true }), [6, 7, 8])
  t.deepEqual(outcomeOfRun(parts), outcomeOfRun(whole))
  t.deepEqual(await trainOnce(parts, { doesResume: true }), [])
  t.deepEqual(outcomeOfRun(parts), outcomeOfRun(whole))
  const environment = JSON.parse(await readFile(join(parts, 'environment.json'), 'utf8')) as {
    native: { threads: number }
    resumed: unknown[]
  }
  t.is(environment.resumed.length, 3)
  t.true(environment.native.threads >= 1)
})

test('without resume an existing run is an error; with other options too', async (t) => {
  const runDir = join(await temporaryFolder(t), 'run')
  await trainOnce(runDir, { stopAt: 2 })
  await coded(t, trainOnce(runDir), 'ERR_RUN_EXISTS')
  const error = await coded(t, trainOnce(runDir, { doesResume: true, seed: 1 }), 'ERR_CHECKPOINT')
  t.regex(error.message, /\n {2}seed: 0, now 1/)
})

test('options of checkpoints are checked', async (t) => {
  const model = await Model.load(folder)
  const team = await Team.of(task.agents.map((name) => ({ name, policy: Policy.base(model) })))
  const options = { team, task, optimizer: { learningRate: 0 }, steps: 1 }
  const error = t.throws(() => train({ ...options, checkpointEvery: -1, keepCheckpoints: 0.5 }), {
    instanceOf: ConfigError,
  })
  t.deepEqual(
    error.issues.map(({ path }) => path),
    ['checkpointEvery', 'keepCheckpoints'],
  )
  await team.dispose()
  await model.dispose()
})

test('resume goes on with the run of a configuration, in any process', async (t) => {
  const root = await temporaryFolder(t)
  await writeConfig(root)
  const { parse } = await import('yaml')
  const input = parse(await readFile(join(root, 'tiny.yaml'), 'utf8')) as Record<string, unknown>
  const config = (name: string) =>
    resolveConfig({ ...input, task: { module: join(root, 'task.mjs') }, steps: 9, runDir: join(root, name) })
  const whole = await prepareRun(config('whole'))
  await whole.run.result
  await whole.dispose()
  const part = await prepareRun(config('run'))
  for await (const { index } of part.run) if (index === 5) break
  await part.dispose()
  const warnings: string[] = []
  const resumed = await resume(join(root, 'run'), {
    onWarning: (message) => warnings.push(message),
    checkpointEvery: 1,
  })
  t.deepEqual(resumed.team.names, ['left', 'right'])
  const steps: number[] = []
  for await (const { index } of resumed.run) steps.push(index)
  await resumed.dispose()
  t.deepEqual(steps, [6, 7, 8, 9])
  t.deepEqual(warnings, [])
  t.deepEqual(outcomeOfRun(join(root, 'run')), outcomeOfRun(join(root, 'whole')))
})

test('resume refuses the run of a program, and says how to go on', async (t) => {
  const runDir = join(await temporaryFolder(t), 'run')
  await trainOnce(runDir, { stopAt: 1 })
  const error = await coded(t, resume(runDir), 'ERR_RUN')
  t.regex(error.message, /begun by a program.*resume: true/)
})
