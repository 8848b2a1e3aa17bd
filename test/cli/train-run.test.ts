import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { parse } from 'yaml'
import { type CliResult, runCli } from '../support/cli.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiModel } from '../support/tiny-model.ts'

/** A folder with a configuration that trains fast. */
async function prepare(t: ExecutionContext, adapter: string): Promise<string> {
  const model = asciiModel()
  const folder = await temporaryFolder(t)
  const yaml = `name: tiny
team: { model: ${JSON.stringify(model)}, adapter: ${adapter} }
task: { name: story, train: 20, heldOut: 4 }
algorithm: { groupSize: 4 }
sampling: { maxNewTokens: 24 }
optimizer: { learningRate: 1.0e-3 }
steps: 3
promptsPerStep: 2
evalEvery: 2
`
  await writeFile(join(folder, 'tiny.yaml'), yaml)
  return folder
}

const linesOf = async (file: string) => (await readFile(file, 'utf8')).trimEnd().split('\n')

test('train records a run that eval can score, and its config.yaml repeats it exactly', async (t) => {
  const folder = await prepare(t, '{ rank: 4 }')
  const first = await runCli(['train', 'tiny.yaml', '--seed', '5', '--json'], { cwd: folder })
  t.is(first.code, 0, first.stderr)
  const events = first.json() as { event: string; step?: number; reason?: string }[]
  t.deepEqual(
    events.map(({ event, step }) => `${event} ${step ?? ''}`.trim()),
    ['eval 0', 'step 1', 'step 2', 'eval 2', 'step 3', 'eval 3', 'end'],
  )
  const run = join(folder, 'runs/tiny')
  t.is((await linesOf(join(run, 'metrics.jsonl'))).length, 6)
  for (const file of ['environment.json', 'samples.jsonl', 'timings.jsonl', 'result.json', 'best/eval.json'])
    t.true(existsSync(join(run, file)), file)
  for (const agent of ['short', 'long']) t.true(existsSync(join(run, 'final', agent, 'adapter_config.json')))

  const again = await runCli(['train', 'runs/tiny/config.yaml', '--run-dir', 'again', '--quiet'], { cwd: folder })
  t.is(again.code, 0, again.stderr)
  t.notRegex(again.stderr, /run folder|^step/m)
  for (const file of ['metrics.jsonl', 'samples.jsonl'])
    t.is(await readFile(join(folder, 'again', file), 'utf8'), await readFile(join(run, file), 'utf8'))
  t.deepEqual(
    await readFile(join(folder, 'again/final/long/adapter_model.safetensors')),
    await readFile(join(run, 'final/long/adapter_model.safetensors')),
  )

  const evaluation = await runCli(['eval', 'runs/tiny', '--json', '--seed', '5'], { cwd: folder })
  t.is(evaluation.code, 0, evaluation.stderr)
  const { metrics } = evaluation.json()[0] as { metrics: Record<string, number> }
  const last = JSON.parse((await linesOf(join(run, 'metrics.jsonl'))).at(-1)!) as Record<string, number>
  t.is(metrics['eval/greedy/reward/mean'], last['eval/greedy/reward/mean'])
  t.is(metrics['eval/reward/mean'], last['eval/reward/mean'])
})

/** Sends a signal once so many steps are recorded, and a second time right after if asked to. */
async function interrupt(folder: string, steps: number, times: number, signal: NodeJS.Signals): Promise<CliResult> {
  const metrics = join(folder, 'runs/tiny/metrics.jsonl')
  return runCli(['train', 'tiny.yaml', '--steps', '100000', '--set', 'evalEvery=0'], {
    cwd: folder,
    onSpawn: async (child) => {
      while (child.exitCode === null && !(existsSync(metrics) && (await linesOf(metrics)).length > steps))
        await sleep(20)
      for (let sent = 0; sent < times; sent++) {
        child.kill(signal)
        await sleep(1)
      }
    },
  })
}

test('Ctrl-C saves the weights of the last step and exits 130; eval takes them', async (t) => {
  const folder = await prepare(t, 'full')
  const result = await interrupt(folder, 2, 1, 'SIGINT')
  t.is(result.code, 130, result.stderr)
  t.regex(result.stderr, /stopping; the weights of the last step are saved/)
  const run = join(folder, 'runs/tiny')
  const { reason, steps } = JSON.parse(await readFile(join(run, 'result.json'), 'utf8')) as {
    reason: string
    steps: number
  }
  t.is(reason, 'stopped')
  t.is((await linesOf(join(run, 'metrics.jsonl'))).length, steps)
  t.true(existsSync(join(run, 'final/short/model.safetensors')))
  const evaluation = await runCli(['eval', 'runs/tiny', '--json', '--quiet', '--samples', '0'], { cwd: folder })
  t.is(evaluation.code, 0, evaluation.stderr)
})

test('Ctrl-C twice leaves at once, with whole lines', async (t) => {
  const folder = await prepare(t, 'full')
  const result = await interrupt(folder, 1, 2, 'SIGINT')
  t.is(result.code, 130, result.stderr)
  for (const line of await linesOf(join(folder, 'runs/tiny/metrics.jsonl'))) t.notThrows(() => JSON.parse(line))
})

test('SIGTERM saves too and exits 143', async (t) => {
  const folder = await prepare(t, '{ rank: 2 }')
  const result = await interrupt(folder, 1, 1, 'SIGTERM')
  t.is(result.code, 143, result.stderr)
  t.true(existsSync(join(folder, 'runs/tiny/final/long/adapter_model.safetensors')))
})

for (const name of ['stdout', 'stderr'] as const)
  test(`a run whose ${name} nobody reads any more stops, saves and exits 141`, async (t) => {
    const folder = await prepare(t, '{ rank: 2 }')
    if (folder === undefined) return
    const { code } = await runCli(['train', 'tiny.yaml', '--steps', '100000', '--set', 'evalEvery=0', '--json'], {
      cwd: folder,
      // While a run is prepared, an end of who reads leaves nothing behind; this is about one that trains.
      onSpawn: (child) =>
        child[name]!.on('data', (text: string) => {
          if (/run folder|"event"/.test(text)) child[name]!.destroy()
        }),
    })
    t.is(code, 141)
    t.like(JSON.parse(await readFile(join(folder, 'runs/tiny/result.json'), 'utf8')), { reason: 'stopped' })
    t.true(existsSync(join(folder, 'runs/tiny/final/long/adapter_model.safetensors')))
  })

test('a run of a task whose rewards have no time limit can be opened again', async (t) => {
  const folder = await temporaryFolder(t)
  const yaml = `team: { model: "builtin:mini-code", adapter: full }
task: mini-code
algorithm: { groupSize: 2 }
optimizer: { learningRate: 1.0e-4 }
steps: 1
`
  await writeFile(join(folder, 'code.yaml'), yaml)
  const first = await runCli(['train', 'code.yaml', '--run-dir', 'run', '--quiet'], { cwd: folder })
  t.is(first.code, 0, first.stderr)
  t.notRegex(await readFile(join(folder, 'run/config.yaml'), 'utf8'), /rewardTimeoutMs/)
  const again = await runCli(['resume', 'run'], { cwd: folder })
  t.is(again.code, 0, again.stderr)
})

test('a config.yaml without the defaults that were added since is not taken for an edited one', async (t) => {
  const folder = await prepare(t, '{ rank: 2 }')
  const stopped = await runCli(
    ['train', 'tiny.yaml', '--steps', '100000', '--set', 'trackers=[tensorboard]', '--json'],
    {
      cwd: folder,
      onSpawn: (child) => child.stdout!.once('data', () => child.stdout!.destroy()),
    },
  )
  t.is(stopped.code, 141)
  const file = join(folder, 'runs/tiny/config.yaml')
  const written = await readFile(file, 'utf8')
  const older = written.replace(/ {2}- name: tensorboard\n {4}sampleEvery: 10\n/, '  - tensorboard\n')
  t.not(older, written)
  const resume = async (text: string) => {
    await writeFile(file, text)
    const { stderr } = await runCli(['resume', 'runs/tiny', '--json'], {
      cwd: folder,
      onSpawn: (child) => child.stdout!.once('data', () => child.stdout!.destroy()),
    })
    return stderr
  }
  t.notRegex(await resume(older), /was edited/)
  t.deepEqual(parse(await readFile(file, 'utf8')).trackers, parse(written).trackers)
  t.regex(await resume(written.replace('evalEvery: 2', 'evalEvery: 3')), /config\.yaml was edited since the run began/)
})
