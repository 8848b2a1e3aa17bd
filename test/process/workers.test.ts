/** The addon in worker threads: each has its own handles, all share the device's thread. */
import test from 'ava'
import { libUrl, runProgram } from '../support/native-processes.ts'
import { endlessFolder } from '../support/native-work.ts'

const folder = endlessFolder()

/** In each worker: `policy`, `generate`, `say`. */
const workerPrelude = `
  const { parentPort } = require('node:worker_threads')
  const say = (message) => parentPort.postMessage(message)
  const lib = (path) => import(${JSON.stringify(libUrl(''))} + path)
  const main = async (work) => {
    ;(await import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})).register()
    const { Model } = await lib('model/model.ts')
    const { Policy } = await lib('model/policy.ts')
    const { loadAddon } = await lib('native/load-addon.ts')
    loadAddon().setThreads(1)
    const model = await Model.load(${JSON.stringify(folder)}, { device: 'cpu' })
    const policy = Policy.base(model)
    const generate = (maxNewTokens, onTokens, count = 8) =>
      policy.generate([Int32Array.from([5, 17, 80])], { seed: 0, maxNewTokens, count, stopIds: [], onTokens })
    await work({ Model, Policy, model, policy, generate, addon: loadAddon() })
  }
`

/** In the main thread: `worker(work)` starts one, `told(worker)` waits for its next message, `idle()` for the end of jobs. */
const prelude = `
  import { once } from 'node:events'
  import { Worker } from 'node:worker_threads'
  const { loadAddon } = await lib('native/load-addon.ts')
  const addon = loadAddon()
  const worker = (work) =>
    new Worker(${JSON.stringify(workerPrelude)} + 'main(' + work.toString() + ')', { eval: true, execArgv: [] })
  const told = async (w) => (await once(w, 'message'))[0]
  const idle = async () => {
    while (addon.liveObjects().jobs > 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const empty = async () => {
    await idle()
    console.log(JSON.stringify(addon.liveObjects()))
  }
`
const nothing = { models: 0, policies: 0, jobs: 0 }

async function run(t: import('ava').ExecutionContext, source: string): Promise<string[]> {
  const { code, signal, stdout, stderr } = await runProgram(prelude + source)
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, stdout)
  return stdout.trim().split('\n')
}

test('a worker that is terminated in the middle of a generation takes its model with it', async (t) => {
  const lines = await run(
    t,
    `
    for (let round = 0; round < 5; round++) {
      const w = worker(async ({ generate }) => {
        let steps = 0
        await generate(2000, () => ++steps === 3 && say('running'))
        say('ended')
      })
      if (await told(w) !== 'running') throw new Error('too late')
      await w.terminate()
      await empty()
    }
  `,
  )
  t.deepEqual(
    lines.map((line) => JSON.parse(line)),
    Array(5).fill(nothing),
  )
})

test('a worker that is terminated at any moment: loading, training, stepping, disposing', async (t) => {
  const lines = await run(
    t,
    `
    const works = [
      async ({ Model, model }) => { say('on'); for (;;) await (await Model.load(model.folder)).dispose() },
      async ({ Policy, model }) => {
        const policy = await Policy.full(model)
        const completions = [{ ids: new Int32Array(200).fill(3), weights: new Float32Array(200).fill(1e-3) }]
        say('on')
        for (;;) {
          await policy.accumulate([{ promptIds: Int32Array.of(1), completions }])
          await policy.step({ learningRate: 1e-6 })
        }
      },
      async ({ Policy, model }) => { say('on'); for (;;) await (await Policy.lora(model)).dispose() },
      async ({ generate }) => { say('on'); for (let i = 0; i < 50; i++) generate(500, () => {}) },
      async ({ generate, model }) => { generate(500); model.dispose(); say('on') },
    ]
    for (const [i, work] of works.entries())
      for (const delay of [0, 3, 17]) {
        const w = worker(work)
        await told(w)
        await new Promise((resolve) => setTimeout(resolve, delay))
        await w.terminate()
        await empty()
      }
  `,
  )
  t.is(lines.length, 15)
  for (const line of lines) t.deepEqual(JSON.parse(line), nothing)
})

test('workers that end by themselves or by process.exit, with open handles and running calls', async (t) => {
  const lines = await run(
    t,
    `
    for (const work of [
      async ({ Policy, model }) => { await Policy.full(model) },
      async ({ generate }) => { generate(20).then(() => say('ended')) },
      async ({ generate }) => { generate(2000); process.exit(3) },
      async ({ generate }) => { let n = 0; await generate(2000, () => ++n === 3 && process.exit(3)) },
    ]) {
      const [code] = await once(worker(work), 'exit')
      console.log(code)
      await empty()
    }
  `,
  )
  t.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [0, nothing, 0, nothing, 3, nothing, 3, nothing],
  )
})

test('two workers and the main thread at once compute as each alone', async (t) => {
  const lines = await run(
    t,
    `
    const { Model } = await lib('model/model.ts')
    const { Policy } = await lib('model/policy.ts')
    const model = await Model.load(${JSON.stringify(folder)}, { device: 'cpu' })
    const texts = (generations) => generations[0].samples.map(({ ids }) => ids.join(' ')).join('/')
    const here = async () =>
      texts(await Policy.base(model).generate([Int32Array.from([5, 17, 80])], { seed: 0, maxNewTokens: 60, count: 8, stopIds: [] }))
    const there = async ({ generate, model }) => {
      const [{ samples }] = await generate(60)
      say(samples.map(({ ids }) => ids.join(' ')).join('/'))
      await model.dispose()
    }
    const alone = await here()
    const all = await Promise.all([told(worker(there)), here(), told(worker(there))])
    console.log(all.every((text) => text === alone))
  `,
  )
  t.deepEqual(lines, ['true'])
})

test('one worker is terminated while another and the main thread go on', async (t) => {
  const lines = await run(
    t,
    `
    const { Model } = await lib('model/model.ts')
    const { Policy } = await lib('model/policy.ts')
    const model = await Model.load(${JSON.stringify(folder)}, { device: 'cpu' })
    const mine = Policy.base(model).generate([Int32Array.of(5)], { maxNewTokens: 150, count: 4, stopIds: [] })
    const doomed = worker(async ({ generate }) => { let n = 0; await generate(2000, () => ++n === 2 && say('running')) })
    const other = worker(async ({ generate }) => { const [{ samples }] = await generate(150); say(samples.length) })
    const finished = told(other)
    await told(doomed)
    await doomed.terminate()
    console.log((await mine)[0].samples.length, await finished)
  `,
  )
  t.deepEqual(lines, ['4 8'])
})

test('an error in a callback in a worker is the worker’s error', async (t) => {
  const lines = await run(
    t,
    `
    const w = worker(async ({ generate }) => { await generate(50, () => { throw new Error('of the callback') }) })
    const [error] = await once(w, 'error')
    console.log(error.message)
    await empty()
  `,
  )
  t.is(lines[0], 'of the callback')
  t.deepEqual(JSON.parse(lines[1]!), nothing)
})

test('the process may exit while workers compute', async (t) => {
  const { code, signal, stderr } = await runProgram(
    `${prelude}
    const busy = async ({ generate }) => { let n = 0; await generate(2000, () => ++n === 2 && say('running')) }
    const workers = [worker(busy), worker(busy)]
    await Promise.all(workers.map(told))
    process.exit(9)
  `,
  )
  t.deepEqual({ code, signal, stderr }, { code: 9, signal: null, stderr: '' })
})
