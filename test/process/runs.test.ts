/** Whole runs inside a program that does other things too: beside each other, in a worker, beside a stream of tokens. */
import test from 'ava'
import { runProgram } from '../support/native-processes.ts'

/** `trainOnce(seed)` gives the rewards and the last gradient norms of a run of four steps, team and model freed. */
const definitions = `
  const definitions = async (lib) => {
    const { defineTask, magrpo, Model, Team, train, Policy } = await lib('index.ts')
    const { loadAddon } = await lib('native/load-addon.ts')
    loadAddon().setThreads(1)
    const task = defineTask({
      name: 'same-start',
      agents: ['left', 'right'],
      items: ['def solve(xs):\\n', 'def aux(x):\\n'],
      observe: (item) => item,
      reward: async (_item, [left, right]) => Number(left.text[4] === right.text[4]),
    })
    const trainOnce = async (seed) => {
      const model = await Model.load('builtin:mini-code', { device: 'cpu' })
      const team = await Team.adapters(model, task.agents, { rank: 2 })
      try {
        const run = train({
          team, task, seed,
          algorithm: magrpo({ groupSize: 4 }),
          sampling: { maxNewTokens: 12 },
          optimizer: { learningRate: 1e-3 },
          steps: 4,
        })
        const seen = []
        for await (const { metrics } of run) seen.push([metrics['reward/mean'], metrics['train/grad_norm'] ?? 0])
        return JSON.stringify(seen)
      } finally {
        await team.dispose()
        await model.dispose()
      }
    }
    return { trainOnce, Model, Policy, addon: loadAddon() }
  }
`
const prelude = `${definitions}
  const { trainOnce, Model, Policy, addon } = await definitions(lib)
`

async function run(t: import('ava').ExecutionContext, source: string): Promise<string[]> {
  const { code, signal, stdout, stderr } = await runProgram(prelude + source)
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, stdout)
  return stdout.trim().split('\n')
}

test('two runs at once are each what they are alone, and leave nothing', async (t) => {
  const [alone, together, left] = await run(
    t,
    `
    const { mkdtempSync, readdirSync, rmSync } = await import('node:fs')
    const { tmpdir } = await import('node:os')
    // A folder of its own: other programs come and go in the system's.
    process.env.TMPDIR = mkdtempSync(tmpdir() + '/magrpo-runs-')
    process.on('exit', () => rmSync(process.env.TMPDIR, { recursive: true, force: true }))
    const ours = () => readdirSync(tmpdir()).length
    const before = [ours(), process.getActiveResourcesInfo().length, process.listenerCount('SIGINT')]
    console.log(JSON.stringify([await trainOnce(1), await trainOnce(2)]))
    console.log(JSON.stringify(await Promise.all([trainOnce(1), trainOnce(2)])))
    await new Promise((resolve) => setTimeout(resolve, 20))
    const after = [ours(), process.getActiveResourcesInfo().length, process.listenerCount('SIGINT')]
    console.log(JSON.stringify([before, after, addon.liveObjects()]))
    `,
  )
  t.is(together, alone)
  const [before, after, live] = JSON.parse(left!)
  t.deepEqual(after, before)
  t.deepEqual(live, { models: 0, policies: 0, jobs: 0 })
})

test('a run in a worker is what it is on the main thread, also beside one there', async (t) => {
  const [alone, inWorker, beside] = await run(
    t,
    `
    import { once } from 'node:events'
    import { Worker } from 'node:worker_threads'
    const source = ${JSON.stringify(definitions)} + \`
      import(\${JSON.stringify(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})}).then(async ({ register }) => {
        register()
        const { trainOnce } = await definitions((path) => import(\${JSON.stringify(${JSON.stringify(new URL('../../lib/', import.meta.url).href)})} + path))
        require('node:worker_threads').parentPort.postMessage(await trainOnce(1))
      })
    \`
    console.log(await trainOnce(1))
    const worker = new Worker(source, { eval: true, execArgv: [] })
    const [[said], other] = await Promise.all([once(worker, 'message'), trainOnce(1)])
    console.log(said)
    console.log(other)
    `,
  )
  t.is(inWorker, alone)
  t.is(beside, alone)
})

test('tokens of another call stream while a run goes on, and change nothing', async (t) => {
  const [alone, beside, streamed] = await run(
    t,
    `
    console.log(await trainOnce(3))
    const model = await Model.load('builtin:mini-code', { device: 'cpu' })
    let isTraining = true
    let during = 0
    const training = trainOnce(3).then((seen) => {
      isTraining = false
      return seen
    })
    while (isTraining)
      await Policy.base(model).generate(['def solve(xs):\\n'], { maxNewTokens: 8, onTokens: () => void (during += Number(isTraining)) })
    console.log(await training)
    console.log(during)
    await model.dispose()
    `,
  )
  t.is(beside, alone)
  t.true(Number(streamed) > 8, streamed)
})
