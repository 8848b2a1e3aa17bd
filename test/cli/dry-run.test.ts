import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { modelFolder } from '../../lib/model/names.ts'
import { runCli } from '../support/cli.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** A folder with a configuration over the model inside the package. */
async function prepare(t: ExecutionContext, more = ''): Promise<string> {
  const folder = await temporaryFolder(t)
  const yaml = `team: { model: builtin:mini-code, adapter: full, device: cpu }
task: mini-code
algorithm: { groupSize: 4 }
optimizer: { learningRate: 1.0e-4 }
steps: 2
${more}`
  await writeFile(join(folder, 'run.yaml'), yaml)
  return folder
}

test('a dry run prints the plan and leaves nothing behind', async (t) => {
  const folder = await prepare(t)
  const { code, stdout, stderr } = await runCli(['train', 'run.yaml', '--dry-run', '--quiet'], { cwd: folder })
  t.is(code, 0, stderr)
  t.is(stderr, '')
  t.regex(stdout, /^up to 8 completions at once, \d+ tokens a pass, prompts of \d+ tokens\ncpu\n/)
  for (const part of ['weights', 'moments', 'cache', 'gradients', 'activations', 'logits', 'peak', 'free'])
    t.regex(stdout, new RegExp(`^ {2}${part} +[\\d.]+ [KMG]iB`, 'm'))
  t.deepEqual(await readdir(folder), ['run.yaml'])
})

test('a dry run for machines: bytes by device and part', async (t) => {
  const folder = await prepare(t)
  const run = await runCli(['train', 'run.yaml', '--dry-run', '--json', '--quiet'], { cwd: folder })
  t.is(run.code, 0, run.stderr)
  const [plan, ...others] = run.json() as {
    event: string
    steps: number
    verdict: string
    devices: {
      device: string
      peak: string
      peak_bytes: number
      free_bytes: number
      free_from: string
      verdict: string
      parts: { name: string; bytes: number; during: string }[]
    }[]
  }[]
  t.deepEqual(others, [])
  t.like(plan, { event: 'plan', steps: 2, verdict: 'fits' })
  const device = plan!.devices[0]!
  const counted = device.parts.filter(({ during }) => during === 'always' || during === device.peak)
  t.is(
    device.peak_bytes,
    counted.reduce((sum, { bytes }) => sum + bytes, 0),
  )
  t.true(device.free_bytes > device.peak_bytes)
  t.like(device, { device: 'cpu', verdict: 'fits' })

  const bytesOf = ({ devices }: NonNullable<typeof plan>) =>
    devices[0]!.parts.find(({ name }) => name === 'moments')!.bytes
  const small = await runCli(['train', 'run.yaml', '--dry-run', '--json', '--set', 'optimizer.moments=int8'], {
    cwd: folder,
  })
  const [smaller] = small.json() as [NonNullable<typeof plan>]
  t.true(bytesOf(smaller) < 0.3 * bytesOf(plan!))
})

test('a dry run warns of what the settings alone tell', async (t) => {
  const folder = await prepare(t)
  const args = ['train', 'run.yaml', '--dry-run', '--set', 'algorithm={name: marloo, scaleByStd: true, groupSize: 4}']
  const { code, stderr } = await runCli(args, { cwd: folder })
  t.is(code, 0, stderr)
  t.regex(stderr, /^warning: marloo with scaleByStd equals magrpo/m)
})

test('a dry run finds what a start would find', async (t) => {
  const folder = await prepare(t, 'evalEvery: 1\npromptsPerStep: 0\n')
  const { code, stderr } = await runCli(['train', 'run.yaml', '--dry-run'], { cwd: folder })
  t.is(code, 1)
  t.regex(stderr, /promptsPerStep/)
  const missing = await runCli(
    ['train', 'run.yaml', '--dry-run', '--set', 'promptsPerStep=1', '--set', 'team.model=none'],
    {
      cwd: folder,
    },
  )
  t.is(missing.code, 1)
  t.regex(missing.stderr, /code: ERR_MODEL_NOT_FOUND/)
  // The context is shorter than any prompt.
  const short = join(folder, 'short')
  await cp(modelFolder('builtin:mini-code'), short, { recursive: true })
  const config = join(short, 'config.json')
  await writeFile(config, JSON.stringify({ ...JSON.parse(await readFile(config, 'utf8')), max_position_embeddings: 4 }))
  const args = ['train', 'run.yaml', '--dry-run', '--set', 'promptsPerStep=1', '--set', `team.model=${short}`]
  const long = await runCli(args, { cwd: folder })
  t.is(long.code, 1)
  t.regex(long.stderr, /code: ERR_PROMPT_TOO_LONG/)
  await writeFile(
    config,
    (await readFile(config, 'utf8')).replace('"max_position_embeddings":4', '"max_position_embeddings":40'),
  )
  const tight = await runCli([...args, '--set', 'sampling.maxNewTokens=30'], { cwd: folder })
  t.is(tight.code, 0, tight.stderr)
  t.regex(
    tight.stderr,
    /^warning: The prompts of \d+ of \d+ items leave less of the model's context than sampling.maxNewTokens \(30\)/m,
  )
})

test('too much memory: refused before the first step, with numbers and the setting; the dry run shows the plan first', async (t) => {
  const folder = await prepare(t)
  // 64,000 completions; none of their memory may be taken.
  const args = ['--quiet', '--run-dir', 'mine', '--set', 'promptsPerStep=8', '--set', 'algorithm.groupSize=4000']
  const env = { MAGRPO_MEMORY_LIMIT: '1GiB' }
  const started = await runCli(['train', 'run.yaml', ...args], { cwd: folder, env })
  t.is(started.code, 1)
  t.is(started.stdout, '')
  t.regex(started.stderr, /^magrpo: The run may take more memory than there is: up to .* GiB .*lower .*groupSize/)
  t.regex(started.stderr, /^ {2}activations +[\d.]+ GiB$/m)
  t.regex(started.stderr, /code: ERR_OUT_OF_MEMORY\n$/)
  const dry = await runCli(['train', 'run.yaml', '--dry-run', ...args], { cwd: folder, env })
  t.is(dry.code, 1)
  t.regex(dry.stdout, /^ {2}free +1\.0 GiB {2}MAGRPO_MEMORY_LIMIT$/m)
  t.regex(dry.stderr, /code: ERR_OUT_OF_MEMORY\n$/)
  t.deepEqual(await readdir(folder), ['run.yaml'])
})

test('weights that do not fit are refused before they are loaded', async (t) => {
  const folder = await prepare(t)
  const env = { MAGRPO_MEMORY_LIMIT: '100kB' }
  const { code, stderr } = await runCli(['train', 'run.yaml', '--quiet'], { cwd: folder, env })
  t.is(code, 1)
  t.regex(stderr, /Expected room for the weights of "builtin:mini-code"|Expected room for the weights of ".*mini-code"/)
  t.regex(stderr, /code: ERR_OUT_OF_MEMORY\n$/)
})
