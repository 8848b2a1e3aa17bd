/** Runs with smaller moments: stopped and resumed they are what they would have been, and they keep the kind they began with. */
import { join } from 'node:path'
import test from 'ava'
import { defineTask, MagrpoError, Model, Policy, Team, train } from '../../lib/index.ts'
import type { MomentKind } from '../../lib/model/step-options.ts'
import { outcomeOfRun } from '../support/kill-runs.ts'
import { writeRandomModel } from '../support/random-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const task = defineTask({
  name: 'letters',
  agents: ['one'],
  items: ['abc', 'def', 'ghi'],
  heldOut: ['xyz'],
  observe: (item: string) => item,
  reward: (_: unknown, joint) => new Set(joint[0]!.text).size / 8,
  defaults: { maxNewTokens: 8 },
})

async function trainOnce(model: string, runDir: string, moments: MomentKind, stopAt = 0) {
  const loaded = await Model.load(model)
  const team = await Team.of([{ name: 'one', policy: await Policy.full(loaded) }])
  try {
    const optimizer = { learningRate: 0.001, moments }
    const run = train({ team, task, optimizer, steps: 6, evalEvery: 3, checkpointEvery: 2, runDir, resume: true })
    const plan = run.plan()!.devices[0]!.parts.find(({ name }) => name === 'moments')!.bytes
    const steps: number[] = []
    for await (const { index } of run) {
      steps.push(index)
      if (index === stopAt) run.stop()
    }
    return { steps, plan }
  } finally {
    await team.dispose()
    await loaded.dispose()
  }
}

for (const moments of ['int8', 'bfloat16'] as const)
  test(`${moments}: stopped and resumed is never stopped; other moments are refused with both values`, async (t) => {
    const root = await temporaryFolder(t)
    const model = await temporaryFolder(t)
    writeRandomModel(model, { layers: 1, hidden: 64, heads: 4, kvHeads: 4, headDim: 16, mlp: 128, vocab: 128 })
    const [whole, parts, exact] = ['whole', 'parts', 'exact'].map((name) => join(root, name))
    const small = await trainOnce(model, whole!, moments)
    const large = await trainOnce(model, exact!, 'float32')
    t.true(small.plan < (moments === 'int8' ? 0.27 : 0.51) * large.plan, `${small.plan} of ${large.plan}`)
    t.notDeepEqual(outcomeOfRun(whole!), outcomeOfRun(exact!))

    t.deepEqual((await trainOnce(model, parts!, moments, 3)).steps, [1, 2, 3])
    const error = await t.throwsAsync(trainOnce(model, parts!, 'float32'), { instanceOf: MagrpoError })
    t.is(error.code, 'ERR_CHECKPOINT')
    t.regex(error.message, new RegExp(`optimizer: .*"moments":"${moments}".*, now .*"moments":"float32"`))
    t.deepEqual((await trainOnce(model, parts!, moments)).steps, [4, 5, 6])
    t.deepEqual(outcomeOfRun(parts!), outcomeOfRun(whole!))
  })
