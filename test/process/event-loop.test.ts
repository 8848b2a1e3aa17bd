/** JavaScript's thread goes on while the core computes, and short requests do not wait for long ones. */
import { join } from 'node:path'
import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { endlessFolder, endlessModel, longGeneration, manyGroups, manyPasses, prompt } from '../support/native-work.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Turns of the event loop until `work` has settled. A call that blocks the thread leaves one or two. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0
  let isDone = false
  const settled = work.finally(() => {
    isDone = true
  })
  while (!isDone) {
    await new Promise((resolve) => setImmediate(resolve))
    turns++
  }
  await settled
  return turns
}

test.serial('the event loop turns during every call', async (t) => {
  const model = await endlessModel(t)
  const policy = await Policy.full(model)
  const folder = await temporaryFolder(t)
  const pass = () => policy.accumulate(manyGroups.slice(0, 20), manyPasses)
  const calls: Record<string, () => Promise<unknown>> = {
    generate: () => policy.generate([prompt], { ...longGeneration, maxNewTokens: 100 }),
    logProbs: () => policy.logProbs(manyGroups.slice(0, 100)),
    accumulate: pass,
    // Short by themselves: they wait for a pass.
    step: () => Promise.all([pass(), policy.step({ learningRate: 1e-5 })]),
    zeroGrad: () => Promise.all([pass(), policy.zeroGrad()]),
    load: async () => (await Model.load(endlessFolder())).dispose(),
    save: () => policy.save(join(folder, 'saved')),
    lora: () => Promise.all([pass(), Policy.lora(model, { rank: 64 }).then((lora) => lora.dispose())]),
  }
  for (const [name, call] of Object.entries(calls)) {
    const turns = await turnsDuring(call())
    t.log(`${name}: ${turns} turns`)
    t.true(turns > 3, `${name}: ${turns} turns`)
  }
})

test.serial('one long pass in one piece does not stop the event loop either', async (t) => {
  const policy = await Policy.full(await endlessModel(t))
  const turns = await turnsDuring(policy.accumulate(manyGroups.slice(0, 100), { maxTokensPerMicroBatch: 1_000_000 }))
  t.true(turns > 20, `${turns} turns`)
})

test.serial('timers and events of the core take turns', async (t) => {
  const policy = Policy.base(await endlessModel(t))
  let timers = 0
  let batches = 0
  const timer = setInterval(() => timers++, 1)
  await policy.generate([prompt], { ...longGeneration, maxNewTokens: 300, onTokens: () => batches++ })
  clearInterval(timer)
  t.is(batches, 300)
  t.true(timers > 3, `${timers} timers`)
})

test.serial('a short request does not wait for a long pass', async (t) => {
  const model = await endlessModel(t)
  const order: string[] = []
  const trained = await Policy.lora(model, { rank: 2 })
  const long = trained.accumulate(manyGroups, manyPasses).then(() => order.push('pass'))
  const short = Policy.base(model)
    .generate([prompt], { maxNewTokens: 3 })
    .then(() => order.push('generation'))
  await Promise.all([long, short])
  t.deepEqual(order, ['generation', 'pass'])
})

test.serial('what depends on a pass waits for it: steps and passes of one policy keep their order', async (t) => {
  const model = await endlessModel(t)
  const results = []
  for (const isAwaited of [true, false]) {
    const policy = await Policy.lora(model, { rank: 2, seed: 5 })
    const calls = [
      () => policy.accumulate(manyGroups.slice(0, 20), manyPasses),
      () => policy.step({ learningRate: 0.01 }),
      () => policy.accumulate(manyGroups.slice(20, 30), manyPasses),
      () => policy.step({ learningRate: 0.01 }),
    ]
    if (isAwaited) for (const call of calls) await call()
    else await Promise.all(calls.map((call) => call()))
    results.push(await policy.logProbs(manyGroups.slice(0, 3)))
  }
  t.deepEqual(results[0], results[1])
})
