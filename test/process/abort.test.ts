/** Every call can be stopped, rejects with the signal's own reason, and leaves nothing behind. */
import { getEventListeners } from 'node:events'
import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { readModelTensors, toNativeSource } from '../../lib/model/safetensors.ts'
import type { NativeModelSpec } from '../../lib/native/addon-types.ts'
import { callNative } from '../../lib/native/call.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import {
  endlessFolder,
  endlessModel,
  idle,
  longGeneration,
  manyGroups,
  manyPasses,
  prompt,
} from '../support/native-work.ts'

type Call = (signal: AbortSignal) => Promise<unknown>

const reason = { why: 'the user went away' }

/** What `work` is rejected with. */
const rejection = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing',
    (error) => error,
  )

const folder = endlessFolder()

const callsOf = (policy: Policy): Record<string, Call> => ({
  load: (signal) => Model.load(folder, { signal }),
  generate: (signal) => policy.generate([prompt], { ...longGeneration, signal }),
  logProbs: (signal) =>
    policy.logProbs([...manyGroups, ...manyGroups, ...manyGroups, ...manyGroups], { ...manyPasses, signal }),
  accumulate: (signal) => policy.accumulate(manyGroups, { ...manyPasses, signal }),
  step: (signal) => policy.step({ learningRate: 1 }, { signal }),
})

test.serial('before: each call rejects with the reason and starts no job', async (t) => {
  const policy = await Policy.lora(await endlessModel(t), { rank: 2 })
  const before = await policy.logProbs(manyGroups.slice(0, 1))
  await idle()
  for (const [name, call] of Object.entries(callsOf(policy))) {
    const signal = AbortSignal.abort(reason)
    const work = rejection(call(signal))
    t.is(loadAddon().liveObjects().jobs, 0, name)
    t.is(await work, reason, name)
    t.is(getEventListeners(signal, 'abort').length, 0, name)
  }
  t.deepEqual(await policy.logProbs(manyGroups.slice(0, 1)), before)
})

test.serial('during: each call rejects with the reason long before its end', async (t) => {
  const policy = await Policy.lora(await endlessModel(t), { rank: 2 })
  for (const [name, call] of Object.entries(callsOf(policy))) {
    if (name === 'load' || name === 'step') continue // too short to be caught in the middle; see below
    const controller = new AbortController()
    const work = rejection(call(controller.signal))
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
    t.is(loadAddon().liveObjects().jobs, 1, `${name} is running`)
    t.is(getEventListeners(controller.signal, 'abort').length, 1, name)
    controller.abort(reason)
    t.is(await work, reason, name)
    t.is(getEventListeners(controller.signal, 'abort').length, 0, name)
    await idle()
  }
})

test.serial('during: generation stops with the token step it is in', async (t) => {
  const policy = Policy.base(await endlessModel(t))
  const controller = new AbortController()
  let steps = 0
  const work = policy.generate([prompt], {
    ...longGeneration,
    signal: controller.signal,
    onTokens() {
      if (++steps === 5) controller.abort(reason)
    },
  })
  t.is(await rejection(work), reason)
  t.true(steps >= 5 && steps < longGeneration.maxNewTokens, `${steps} steps`)
})

test.serial('during: a step that has not begun does not happen', async (t) => {
  const policy = await Policy.lora(await endlessModel(t), { rank: 2 })
  const before = await policy.logProbs(manyGroups.slice(0, 1))
  const controller = new AbortController()
  const pass = policy.accumulate(manyGroups, manyPasses)
  const work = rejection(policy.step({ learningRate: 1 }, { signal: controller.signal }))
  controller.abort(reason)
  t.is(await work, reason)
  await pass
  t.deepEqual(await policy.logProbs(manyGroups.slice(0, 1)), before)
  t.true((await policy.step({ learningRate: 0 })).gradNorm > 0, 'the gradient is still there')
})

test.serial('during: loading stops and frees what it had', async (t) => {
  const model = await endlessModel(t)
  await idle()
  const { models } = loadAddon().liveObjects()
  const controller = new AbortController()
  const work = rejection(Model.load(folder, { signal: controller.signal }))
  controller.abort(reason)
  t.is(await work, reason)
  const tensors = (await readModelTensors(folder)).map(toNativeSource)
  const spec: NativeModelSpec = { config: model.config, dtype: 'float32', device: 'cpu', tensors }
  const second = new AbortController()
  // The device's thread is busy with one long slice, so that loading cannot have ended before it is stopped.
  const busy = Policy.base(model).logProbs(manyGroups.slice(0, 100), { maxTokensPerMicroBatch: 1_000_000 })
  const native = rejection(callNative((job) => loadAddon().loadModel(spec, job), second.signal))
  second.abort(reason)
  t.is(await native, reason)
  await busy
  await idle()
  t.is(loadAddon().liveObjects().models, models)
})

test.serial('after: nothing happens', async (t) => {
  const policy = await Policy.lora(await endlessModel(t), { rank: 2 })
  const controller = new AbortController()
  const { signal } = controller
  const model = await Model.load(folder, { signal })
  await policy.generate([prompt], { maxNewTokens: 2, signal })
  await policy.logProbs(manyGroups.slice(0, 1), { signal })
  await policy.accumulate(manyGroups.slice(0, 1), { signal })
  await policy.step({ learningRate: 0.1 }, { signal })
  t.is(getEventListeners(signal, 'abort').length, 0)
  controller.abort(reason)
  t.is((await policy.generate([prompt], { maxNewTokens: 2 })).length, 1)
  await model.dispose()
})

test.serial('a signal without a reason of its own rejects with its AbortError or TimeoutError', async (t) => {
  const policy = Policy.base(await endlessModel(t))
  const aborted = await rejection(policy.generate([prompt], { ...longGeneration, signal: AbortSignal.abort() }))
  t.is((aborted as Error).name, 'AbortError')
  const late = await rejection(policy.generate([prompt], { ...longGeneration, signal: AbortSignal.timeout(5) }))
  t.is((late as Error).name, 'TimeoutError')
})

test.serial('one signal stops calls on several models and all of them end', async (t) => {
  const policies = [Policy.base(await endlessModel(t)), Policy.base(await endlessModel(t))]
  const controller = new AbortController()
  const works = policies.map((policy) =>
    rejection(policy.generate([prompt], { ...longGeneration, signal: controller.signal })),
  )
  await new Promise((resolve) => setTimeout(resolve, 5))
  controller.abort(reason)
  t.deepEqual(await Promise.all(works), [reason, reason])
  await idle()
  t.is(getEventListeners(controller.signal, 'abort').length, 0)
})

test.serial('an aborted pass leaves a gradient of whole micro-batches, which zeroGrad drops', async (t) => {
  const policy = await Policy.lora(await endlessModel(t), { rank: 2 })
  const controller = new AbortController()
  const work = rejection(policy.accumulate(manyGroups, { ...manyPasses, signal: controller.signal }))
  await new Promise((resolve) => setTimeout(resolve, 30))
  controller.abort(reason)
  t.is(await work, reason)
  await policy.zeroGrad()
  t.is((await policy.step({ learningRate: 1, weightDecay: 0 })).gradNorm, 0)
})
