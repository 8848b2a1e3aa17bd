/** Who frees what, when, and what remains. */
import test from 'ava'
import { DisposedError } from '../../lib/base/errors.ts'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenModel } from '../support/golden-models.ts'
import { endlessFolder, idle, manyGroups, manyPasses, prompt } from '../support/native-work.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const folder = endlessFolder()
const load = () => Model.load(folder, { device: 'cpu' })
const nothing = { models: 0, policies: 0, jobs: 0 }
const groups = manyGroups.slice(0, 2)

test.afterEach.always('nothing is left', async (t) => {
  await idle()
  t.deepEqual(loadAddon().liveObjects(), nothing)
})

test.serial('counters follow models and policies', async (t) => {
  const { liveObjects } = loadAddon()
  const model = await load()
  t.is(liveObjects().models, 1)
  const adapter = await Policy.lora(model)
  const full = await Policy.full(model)
  Policy.base(model)
  t.is(liveObjects().policies, 2)
  await adapter.dispose()
  await idle()
  t.is(liveObjects().policies, 1)
  await full.dispose()
  await model.dispose()
})

test.serial('a model takes its policies with it', async (t) => {
  const model = await load()
  const policies = [await Policy.lora(model), await Policy.full(model), Policy.base(model)]
  await model.dispose()
  for (const policy of policies) await rejectsWith(t, () => policy.generate([prompt]), 'ERR_DISPOSED')
})

test.serial('a policy goes alone; its model and its fellows stay', async (t) => {
  const model = await load()
  const [one, two] = [await Policy.lora(model, { seed: 1 }), await Policy.lora(model, { seed: 2 })]
  await one.accumulate(groups)
  await one.dispose()
  t.is((await two.generate([prompt], { maxNewTokens: 2 })).length, 1)
  t.is((await Policy.base(model).generate([prompt], { maxNewTokens: 2 })).length, 1)
  await model.dispose()
})

test.serial('running calls end as if nothing had happened, then memory goes', async (t) => {
  const expected = await load()
  const options = { seed: 0, maxNewTokens: 100 }
  const [generation] = await Policy.base(expected).generate([prompt], options)
  await expected.dispose()
  const model = await load()
  const policy = await Policy.lora(model)
  const running = [policy.generate([prompt], options), policy.accumulate(manyGroups.slice(0, 30), manyPasses)] as const
  const disposals = [policy.dispose(), model.dispose(), policy.dispose(), model.dispose()]
  t.deepEqual((await running[0])[0]!.samples[0]!.ids, generation!.samples[0]!.ids)
  t.is((await running[1]).length, 30)
  await Promise.all(disposals)
})

test.serial('disposing twice is disposing once', async (t) => {
  const model = await load()
  const policy = await Policy.lora(model)
  t.is(policy.dispose(), policy.dispose())
  t.is(model.dispose(), model.dispose())
  await model.dispose()
  await policy.dispose()
  await model[Symbol.asyncDispose]()
  await policy[Symbol.asyncDispose]()
  const { native } = await load()
  await Promise.all([native.dispose(), native.dispose(), native.dispose()])
  await native.dispose()
})

test.serial('what is disposed says so, by name', async (t) => {
  const model = await load()
  const policy = await Policy.lora(model)
  await policy.dispose()
  const target = await temporaryFolder(t)
  const calls: (() => Promise<unknown>)[] = [
    () => policy.generate([prompt]),
    () => policy.logProbs(groups),
    () => policy.accumulate(groups),
    () => policy.step({ learningRate: 1 }),
    () => policy.zeroGrad(),
    () => policy.save(target),
  ]
  for (const call of calls) {
    const error = await rejectsWith(t, call, 'ERR_DISPOSED', 'lora policy', folder, 'after it was disposed')
    t.true(error instanceof DisposedError)
  }
  const base = Policy.base(model)
  await model.dispose()
  const late: (() => Promise<unknown>)[] = [
    () => Policy.full(model),
    () => Policy.lora(model),
    () => base.save(target),
    async () => Policy.base(model),
  ]
  for (const call of late) {
    const error = await rejectsWith(t, call, 'ERR_DISPOSED', folder)
    t.true(error instanceof DisposedError)
  }
  t.is(model.parameterCount > 0, true, 'facts stay')
})

test.serial('a policy that is made while its model goes is not left behind', async (t) => {
  const model = await load()
  const making = Policy.lora(model)
  const disposal = model.dispose()
  await rejectsWith(t, () => making, 'ERR_DISPOSED')
  await disposal
})

test.serial('handles go with their scope', async (t) => {
  {
    await using model = await load()
    await using policy = await Policy.lora(model)
    await policy.generate([prompt], { maxNewTokens: 2 })
    t.is(loadAddon().liveObjects().models, 1)
  }
  await t.throwsAsync(
    async () => {
      await using model = await load()
      await using policy = await Policy.full(model)
      await policy.accumulate(groups)
      throw new Error('in the middle')
    },
    { message: 'in the middle' },
  )
})

test.serial('what fails to load leaves nothing', async (t) => {
  await rejectsWith(t, () => Model.load('nowhere'), 'ERR_MODEL_NOT_FOUND')
  await rejectsWith(t, () => Model.load(folder, { device: 'cuda:0' }), 'ERR_DEVICE', 'cuda:0', 'cpu')
  const model = await load()
  await t.throwsAsync(() => Policy.lora(model, { targets: ['nothing'] }), { code: 'ERR_ADAPTER' })
  await t.throwsAsync(() => Policy.fromAdapter(model, goldenModel('llama')), { code: 'ERR_MODEL_NOT_FOUND' })
  await model.dispose()
})
