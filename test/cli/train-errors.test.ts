import { execFile } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const yaml = 'team: { model: no-such-model }\ntask: story\noptimizer: { learningRate: 1e-4 }\nsteps: 2\n'

test('a configuration that is not valid lists everything that is wrong with it', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'bad.yaml'), `${yaml}promptPerStep: 2\nalgorithm: { groupsize: 3 }\n`)
  const result = await runCli(['train', join(folder, 'bad.yaml'), '--json'])
  t.is(result.code, 1)
  t.is(result.stdout, '')
  t.regex(result.stderr, /^magrpo: .*bad\.yaml is not valid:\n/)
  t.regex(result.stderr, /promptPerStep: unknown key; did you mean "promptsPerStep"\? \(line 5\)\n/)
  t.regex(result.stderr, /algorithm\.groupsize: unknown key; did you mean "groupSize"\? \(line 6\)\n/)
  t.regex(result.stderr, /code: ERR_CONFIG\n$/)
})

test('an existing run folder is left alone', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'run.yaml'), yaml)
  await mkdir(join(folder, 'runs/run'), { recursive: true })
  await writeFile(join(folder, 'runs/run/metrics.jsonl'), '')
  const result = await runCli(['train', 'run.yaml', '--run-dir', 'runs/run'], { cwd: folder })
  t.is(result.code, 1)
  t.regex(
    result.stderr,
    /^magrpo: The run folder runs\/run exists already and is not empty\. Choose another with --run-dir/,
  )
  t.regex(result.stderr, /code: ERR_RUN_EXISTS\n$/)
})

test('a run that cannot begin leaves no folder behind', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'run.yaml'), yaml)
  const result = await runCli(['train', 'run.yaml', '--run-dir', 'mine'], { cwd: folder })
  t.is(result.code, 1)
  t.regex(result.stderr, /code: ERR_/)
  t.deepEqual(await readdir(folder), ['run.yaml'])
})

test('numbers out of range: one message each, of what was given', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'run.yaml'), `${yaml}seed: 1e300\nevalEvery: .nan\n`)
  const { stderr } = await runCli(['train', 'run.yaml'], { cwd: folder })
  t.is(stderr.match(/seed:/g)?.length, 1, stderr)
  t.regex(stderr, /seed: expected .*2\^32 - 1; received 1e\+300/)
  t.regex(stderr, /evalEvery: .*received NaN/)
  const set = await runCli(['train', 'run.yaml', '--set', 'task.name=story', '--set', 'task.heldOut=99999999'], {
    cwd: folder,
  })
  t.notRegex(set.stderr, /-9/)
})

test('what is no regular file is refused and not waited for', async (t) => {
  const folder = await temporaryFolder(t)
  await promisify(execFile)('mkfifo', [join(folder, 'pipe.yaml'), join(folder, 'pipe.jsonl')])
  const config = await runCli(['train', 'pipe.yaml'], { cwd: folder })
  t.regex(config.stderr, /Expected a regular file but pipe\.yaml is a named pipe\.\ncode: ERR_CONFIG/)
  const task = 'task: { name: tldr, train: pipe.jsonl }\nteam: { model: builtin:mini-code }\n'
  await writeFile(join(folder, 'run.yaml'), `${task}optimizer: { learningRate: 1e-4 }\nsteps: 2\n`)
  const data = await runCli(['train', 'run.yaml'], { cwd: folder })
  t.regex(data.stderr, /pipe\.jsonl is a named pipe\.\ncode: ERR_DATA/)
})

test('of a run without final/, an evaluation offers what is there', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'config.yaml'), yaml)
  const bare = await runCli(['eval', folder])
  t.regex(
    bare.stderr,
    /has no final\/: the run did not get that far; --weights initial evaluates what is there\.\ncode: ERR_RUN/,
  )
  await mkdir(join(folder, 'best'))
  const { stderr } = await runCli(['eval', folder])
  t.regex(stderr, /; --weights best or --weights initial evaluates what is there/)
})

test('wrong usage is exit code 2', async (t) => {
  const cases: [string[], RegExp][] = [
    [['train'], /missing required argument 'config'/],
    [['train', 'x.yaml', '--steps', '0'], /expected a whole number from 1 up/],
    [['train', 'x.yaml', '--seed', '-1'], /expected a whole number from 0 to 4294967295/],
    [['train', 'x.yaml', '--sed', '1'], /unknown option '--sed' \(Did you mean --seed\?\)/],
    [['generate', '--modle', 'x'], /unknown option '--modle' \(Did you mean --model\?\)/],
    [['reward', '--taks=tldr'], /unknown option '--taks' \(Did you mean --task\?\)/],
    [['generate', '--model', 'x', '-n', '100000000'], /expected a whole number from 1 to 65536/],
    [['generate'], /required option '--model/],
    [['train', 'x.yaml', '--set', 'steps'], /expected path\.to\.key=value/],
    [['eval'], /expected a run folder, a configuration, or --task with --model/],
  ]
  for (const [args, message] of cases) {
    const result = await runCli(args)
    t.is(result.code, 2, args.join(' '))
    t.regex(result.stderr, message)
  }
})

test('a reward that ends the process does not make it look done', async (t) => {
  const folder = await temporaryFolder(t)
  const task = "{ name: 'x', agents: ['a', 'b'], items: [{}], observe: () => 'def', reward: () => process.exit(0) }"
  await writeFile(join(folder, 'task.mjs'), `export default ${task}\n`)
  const team = 'team: { model: builtin:mini-code, adapter: { rank: 2 } }'
  await writeFile(
    join(folder, 'run.yaml'),
    `${team}\ntask: { module: task.mjs }\nsteps: 1\nsampling: { maxNewTokens: 2 }\noptimizer: { learningRate: 1e-4 }\n`,
  )
  const { code, stderr } = await runCli(['train', 'run.yaml'], { cwd: folder })
  t.is(code, 1, stderr)
  t.regex(stderr, /ended the process with process\.exit\(\)/)
})
