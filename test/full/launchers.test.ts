import { execFile, execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { repositoryDir } from '../support/fixtures.ts'
import { outcomeOfRun, writeConfig } from '../support/kill-runs.ts'
import { runRanks } from '../support/rank-runs.ts'
import { referencePython } from '../support/reference-python.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const run = promisify(execFile)
const settings = ['--set', 'deterministic=true', '--set', 'promptsPerStep=5', '--set', 'steps=5', '--quiet']
const program = [
  process.execPath,
  `--import=${import.meta.resolve('tsx')}`,
  join(repositoryDir, 'test/support/run-cli.ts'),
]

/** A folder with a configuration, what one process comes to, and how a launcher's ranks are to be started. */
async function prepare(t: ExecutionContext) {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder)), ...settings]
  const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
  t.is(one.code, 0, one.stderr)
  const command = [...program, 'train', ...args, '--run-dir', 'ranks']
  const same = () => t.deepEqual(outcomeOfRun(join(folder, 'ranks')), outcomeOfRun(join(folder, 'one')))
  return { folder, command, same, options: { cwd: folder, env: { ...process.env, OMP_NUM_THREADS: '1' } } }
}

test.serial('torchrun of a real PyTorch starts ranks that come to the bytes of one process', async (t) => {
  const python = await referencePython(t)
  if (python === undefined) return
  const { command, same, options } = await prepare(t)
  const torchrun = join(dirname(python), 'torchrun')
  await run(torchrun, ['--no-python', '--nproc-per-node', '2', ...command], options)
  same()
})

test.serial("so does Open MPI's mpirun", async (t) => {
  const script = new URL('../../scripts/apt-program.mjs', import.meta.url).href
  const { ensureMpirun } = (await import(script)) as { ensureMpirun(): Promise<string> }
  const mpirun = await ensureMpirun().catch((error: Error) => error)
  if (mpirun instanceof Error) return skipBecause(t, mpirun.message)
  const { command, same, options } = await prepare(t)
  await run(mpirun, ['--allow-run-as-root', '--oversubscribe', '-n', '2', ...command], options)
  same()
})

/** Two network namespaces, joined by a pair of interfaces: two machines, as far as the network knows. */
function joinNamespaces(t: ExecutionContext): string[] {
  const names = ['a', 'b'].map((end) => `magrpo-${process.pid}-${end}`)
  const ip = (...words: string[]) => execFileSync('ip', words, { stdio: 'pipe' })
  t.teardown(() => {
    for (const name of names) ip('netns', 'del', name)
  })
  for (const name of names) ip('netns', 'add', name)
  ip('link', 'add', 'va', 'netns', names[0]!, 'type', 'veth', 'peer', 'name', 'vb', 'netns', names[1]!)
  for (const [index, name] of names.entries()) {
    const end = index === 0 ? 'va' : 'vb'
    ip('-n', name, 'addr', 'add', `10.77.0.${index + 1}/24`, 'dev', end)
    ip('-n', name, 'link', 'set', 'lo', 'up')
    ip('-n', name, 'link', 'set', end, 'up')
  }
  return names
}

for (const [shape, more] of Object.entries({
  'prompts divided': [],
  'an agent each': ['--set', 'team.ranks=agents'],
}))
  test.serial(`two machines, each with its own run of magrpo, come to the bytes of one: ${shape}`, async (t) => {
    let names: string[]
    try {
      names = joinNamespaces(t)
    } catch (error) {
      return skipBecause(t, `no network namespaces: ${(error as Error).message.split('\n')[0]}`)
    }
    const { command, same, options } = await prepare(t)
    await Promise.all(
      names.map((name, rank) => {
        const place = { RANK: `${rank}`, WORLD_SIZE: '2', MASTER_ADDR: '10.77.0.1' }
        const env = { ...options.env, ...place }
        return run('ip', ['netns', 'exec', name, ...command, ...more], { ...options, env })
      }),
    )
    same()
    const shown = execFileSync('ip', ['-n', names[0]!, '-s', '-j', 'link', 'show', 'va'], { encoding: 'utf8' })
    const [{ stats64 }] = JSON.parse(shown) as [{ stats64: { rx: { bytes: number }; tx: { bytes: number } } }]
    t.log(`${stats64.tx.bytes} bytes sent and ${stats64.rx.bytes} received by rank 0 in 5 steps`)
    t.true(stats64.rx.bytes > 0)
  })
