/** A thousand steps leave the process as fifty did. */
import { join } from 'node:path'
import test from 'ava'
import { runProgram } from '../support/native-processes.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** What a process holds. */
interface Held {
  step: number
  /** Resident memory in MB, garbage collected. */
  resident: number
  /** JavaScript's heap in MB. */
  heap: number
  /** Open timers, sockets, pipes and child processes, as Node counts them. */
  resources: number
  /** Open file descriptors. */
  files: number
  /** Models, policies and jobs of the C++ core. */
  native: number
  children: number
}

/** Trains the embedded model on real tests: sandboxed programs, run folder, checkpoints and TensorBoard included. */
const program = `
  const { readdirSync, readFileSync } = await import('node:fs')
  const { magrpo, Model, Team, tasks, tensorBoard, train, modelFolder } = await lib('index.ts')
  const { loadAddon } = await lib('native/load-addon.ts')
  const base = await Model.load(modelFolder('builtin:mini-code'), { device: 'cpu' })
  const team = await Team.adapters(base, ['aux', 'main'], { rank: 2 })
  const held = async (step) => {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      gc()
    }
    const { rss, heapUsed } = process.memoryUsage()
    const { models, policies, jobs } = loadAddon().liveObjects()
    console.log(JSON.stringify({
      step,
      resident: rss / 1e6,
      heap: heapUsed / 1e6,
      resources: process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length,
      files: readdirSync('/proc/self/fd').length,
      native: models + policies + jobs,
      children: readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8').split(' ').filter(Boolean).length,
    }))
  }
  const run = train({
    team,
    task: tasks.miniCode(),
    algorithm: magrpo({ groupSize: 2 }),
    sampling: { maxNewTokens: 24 },
    optimizer: { learningRate: 1e-5 },
    steps: 1000,
    promptsPerStep: 1,
    evalEvery: 0,
    runDir: process.argv[1],
    checkpointEvery: 25,
    trackers: [tensorBoard()],
  })
  for await (const { index } of run) if (index === 49 || index === 999 || (index + 1) % 250 === 0) await held(index + 1)
  await team.dispose()
  await base.dispose()
  await held(1001)
`

test('a thousand steps leave memory, handles and native objects where they were after fifty', async (t) => {
  const { code, stdout, stderr } = await runProgram(program, [join(await temporaryFolder(t), 'run')])
  t.is(code, 0, stderr)
  const rows = stdout
    .trim()
    .split('\n')
    .map((line): Held => JSON.parse(line))
  for (const row of rows) t.log(JSON.stringify(row))
  const [early, late] = [rows[0]!, rows.find(({ step }) => step === 1000)!]
  for (const name of ['resources', 'files', 'native', 'children'] as const) t.is(late[name], early[name], name)
  t.true(late.heap - early.heap < 4, 'the heap grew')
  t.true(late.resident - early.resident < 20, 'resident memory grew')
})
