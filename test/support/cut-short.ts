/**
 * A program: work of the built-in model that is aborted, disposed of or ended with its thread, and what goes on afterwards. Checks
 * itself, prints a line per part and then `N passed, N failed`. Sanitizers watch the addon meanwhile (test/weekly/sanitizers.test.ts).
 */
import './other-addon.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { defineTask, Model, magrpo, modelFolder, Policy, type PolicyGroup, Team, train } from '../../lib/index.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { idle } from './native-work.ts'

const folder = modelFolder('builtin:mini-code')
const load = () => Model.load(folder, { device: 'cpu' })
const prompts = ['def add', 'def twice']
/** Long enough to be caught in the middle. */
const long = { count: 8, maxNewTokens: 400, stopIds: [] }
const groups: PolicyGroup[] = Array.from({ length: 200 }, (_, i) => ({
  promptIds: Int32Array.of(i % 50, 3),
  completions: [{ ids: new Int32Array(40).fill(i % 50), weights: new Float32Array(40).fill(0.01) }],
}))
const passes = { maxTokensPerMicroBatch: 1 }
/** In milliseconds: at once, and in the middle of what follows. */
const delays = [0, 1, 3, 10, 30, 100]

const task = defineTask({
  name: 'short',
  agents: ['a', 'b'],
  items: prompts,
  observe: (item: string) => item,
  reward: (_, [a, b]) => -Math.abs(a!.ids.length - b!.ids.length),
})
const trainSteps = (team: Team, steps: number, signal?: AbortSignal) =>
  train({
    team,
    task,
    algorithm: magrpo({ groupSize: 3 }),
    sampling: { maxNewTokens: 24 },
    optimizer: { learningRate: 1e-4 },
    steps,
    evalEvery: 0,
    signal,
  })

const reason = new Error('enough')
/** Aborts the work after a while, and sees that it is rejected for that or done by then. */
async function abortAfter(ms: number, work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const controller = new AbortController()
  const outcome = work(controller.signal).catch((error: unknown) => assert.equal(error, reason))
  await sleep(ms)
  controller.abort(reason)
  await outcome
}

/** One step that nothing disturbs, as proof that the core is well. */
async function stepOnce(): Promise<void> {
  await using base = await load()
  await using policy = await Policy.lora(base, { rank: 2 })
  await policy.accumulate(groups.slice(0, 2))
  const { gradNorm } = await policy.step({ learningRate: 1e-3 })
  assert(Number.isFinite(gradNorm) && gradNorm > 0)
}

const parts: Record<string, () => Promise<void>> = {
  async 'a team is trained for three steps'() {
    await using base = await load()
    await using team = await Team.adapters(base, ['a', 'b'], { rank: 2 })
    assert.equal((await trainSteps(team, 3).result).reason, 'finished')
  },
  async 'training is aborted at any moment, and goes on with the same team'() {
    await using base = await load()
    await using team = await Team.adapters(base, ['a', 'b'], { rank: 2 })
    for (const ms of delays) await abortAfter(ms, async (signal) => trainSteps(team, 1000, signal).result)
    assert.equal((await trainSteps(team, 1).result).steps, 1)
  },
  async 'generation is aborted at any moment'() {
    await using base = await load()
    for (const ms of delays) await abortAfter(ms, (signal) => Policy.base(base).generate(prompts, { ...long, signal }))
    await stepOnce()
  },
  async 'scores, gradients, steps and loading are aborted at any moment'() {
    await using base = await load()
    await using policy = await Policy.lora(base, { rank: 2 })
    for (const ms of delays) {
      await abortAfter(ms, (signal) => policy.logProbs(groups, { ...passes, signal }))
      await abortAfter(ms, (signal) => policy.accumulate(groups, { ...passes, signal }))
      await abortAfter(ms, (signal) => policy.step({ learningRate: 1e-4 }, { signal }))
      await abortAfter(ms, async (signal) => (await Model.load(folder, { device: 'cpu', signal })).dispose())
    }
    await policy.zeroGrad()
  },
  async 'models and policies are disposed of while their jobs run and wait'() {
    for (const ms of delays) {
      const base = await load()
      const [adapter, full] = [await Policy.lora(base, { rank: 2 }), await Policy.full(base)]
      const jobs = [
        adapter.generate(prompts, { ...long, maxNewTokens: 60 }),
        full.accumulate(groups.slice(0, 20), passes),
        full.step({ learningRate: 1e-4 }),
        adapter.logProbs(groups.slice(0, 20), passes),
      ]
      await sleep(ms)
      await Promise.all([adapter.dispose(), base.dispose(), full.dispose(), ...jobs])
    }
  },
  async 'jobs are aborted and their model disposed of together'() {
    for (const ms of delays) {
      const base = await load()
      const policy = await Policy.lora(base, { rank: 2 })
      await abortAfter(ms, (signal) => {
        const jobs = [policy.generate(prompts, { ...long, signal }), policy.accumulate(groups, { ...passes, signal })]
        void base.dispose()
        return Promise.all(jobs.map((job) => job.catch((error: unknown) => assert.equal(error, reason))))
      })
    }
  },
  async 'a callback throws in the middle of a generation'() {
    await using base = await load()
    const uncaught = once(process, 'uncaughtException')
    let steps = 0
    const onTokens = () => {
      if (++steps === 3) throw reason
    }
    await Policy.base(base).generate(prompts, { ...long, maxNewTokens: 20, onTokens })
    assert.equal((await uncaught)[0], reason)
  },
  async 'worker threads are terminated at any moment'() {
    for (const work of ['load', 'train', 'generate', 'dispose']) for (const ms of [0, 3, 17]) await terminate(work, ms)
  },
  async 'a worker thread is terminated beside another and the main thread, which go on'() {
    await using base = await load()
    const mine = Policy.base(base).generate(prompts, { ...long, maxNewTokens: 100 })
    await Promise.all([terminate('generate', 5), terminate('train', 40), terminate('generate', 20)])
    assert.equal((await mine)[0]!.samples.length, long.count)
  },
}

/** A worker thread has to learn TypeScript first. */
const workerSource = `
  import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})
    .then(({ register }) => register())
    .then(() => import(${JSON.stringify(new URL('cut-short-worker.ts', import.meta.url))}))`

async function terminate(work: string, ms: number): Promise<void> {
  const worker = new Worker(workerSource, { eval: true, execArgv: [], workerData: work })
  await once(worker, 'message')
  await sleep(ms)
  await worker.terminate()
}

loadAddon().setThreads(2)
const { MAGRPO_TEST_ADDON: wanted } = process.env
assert(wanted === undefined || readFileSync('/proc/self/maps', 'utf8').includes(wanted), `${wanted} is not loaded`)
const counts = { passed: 0, failed: 0 }
for (const [title, part] of Object.entries(parts)) {
  try {
    await part()
    await idle()
    // What ended with its thread is freed by then; what JavaScript dropped without disposing of it, once it is collected.
    assert.deepEqual(loadAddon().liveObjects(), { models: 0, policies: 0, jobs: 0 })
    counts.passed++
    console.log(`  ok   ${title}`)
  } catch (error) {
    counts.failed++
    console.log(`FAILED ${title}`, error)
  }
}
console.log(`${counts.passed} passed, ${counts.failed} failed`)
// The process ends in the middle of work too.
const base = await load()
void Policy.base(base).generate(prompts, long)
await sleep(5)
process.exit(counts.failed > 0 ? 1 : 0)
