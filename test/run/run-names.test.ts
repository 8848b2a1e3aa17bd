/** What `magrpo train` does where there is a run of that name already. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { ReplacedRun } from '../../lib/run/replaced-run.ts'
import { RunFolder } from '../../lib/run/run-folder.ts'
import { runCli } from '../support/cli.ts'
import { rejectsWith } from '../support/errors.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

async function prepare(t: ExecutionContext) {
  const cwd = await temporaryFolder(t)
  const yaml =
    'team: { model: "builtin:mini-code", adapter: full }\ntask: mini-code\nalgorithm: { groupSize: 2 }\noptimizer: { learningRate: 1.0e-4 }\nsteps: 1\n'
  await writeFile(join(cwd, 'x.yaml'), yaml)
  const read = (path: string) => readFile(join(cwd, path), 'utf8')
  return { cwd, read, train: (...args: string[]) => runCli(['train', 'x.yaml', '--quiet', ...args], { cwd }) }
}

test('another run of the same name gets a number and says so; a folder that was asked for is exact', async (t) => {
  const { cwd, read, train } = await prepare(t)
  const first = await train()
  t.is(first.code, 0, first.stderr)
  const metrics = await read('runs/x/metrics.jsonl')
  const second = await train('--seed', '1', '--json')
  t.is(second.code, 0, second.stderr)
  t.true(
    second.stderr.startsWith(
      'runs/x holds a run already: this one is recorded in runs/x-2. Instead: magrpo resume runs/x to go on with that one, or --overwrite to replace it.\n',
    ),
    second.stderr,
  )
  t.is((second.json().at(-1) as { run_dir: string }).run_dir, 'runs/x-2')
  t.is(await read('runs/x/metrics.jsonl'), metrics)
  t.regex(await read('runs/x-2/config.yaml'), /^runDir: runs\/x-2$/m)
  t.regex((await runCli(['resume', 'runs/x-2'], { cwd })).stdout, /^runs\/x-2 is finished/)
  const exact = await train('--run-dir', 'runs/x')
  t.is(exact.code, 1)
  t.regex(exact.stderr, /--overwrite.*\ncode: ERR_RUN_EXISTS\n$/s)
  t.deepEqual((await readdir(join(cwd, 'runs'))).sort(), ['x', 'x-2'])
})

test('--overwrite replaces the run once the new one begins; one that cannot begin leaves it', async (t) => {
  const { cwd, read, train } = await prepare(t)
  t.is((await train('--overwrite')).code, 0)
  await writeFile(join(cwd, 'runs/x/report.html'), 'old')
  const failed = await train('--overwrite', '--set', 'team.model=nowhere')
  t.is(failed.code, 1)
  t.regex(failed.stderr, /code: ERR_MODEL_NOT_FOUND\n$/)
  t.is(await read('runs/x/report.html'), 'old')
  const replaced = await train('--overwrite', '--seed', '1')
  t.is(replaced.code, 0, replaced.stderr)
  t.not(await read('runs/x/report.html'), 'old')
  t.regex(await read('runs/x/config.yaml'), /^seed: 1$/m)
  t.deepEqual(await readdir(join(cwd, 'runs')), ['x'])
})

test('only a run folder makes room, with nothing in it that no run writes, and not while a process works on it', async (t) => {
  const root = await temporaryFolder(t)
  const path = join(root, 'run')
  const refused = (code: 'ERR_RUN_EXISTS', ...words: string[]) =>
    rejectsWith(t, () => ReplacedRun.putAside(path), code, ...words)
  t.is(await ReplacedRun.putAside(path), undefined)
  await writeFile(path, '')
  await refused('ERR_RUN_EXISTS', 'is no folder')
  const real = join(root, 'real')
  const folder = await RunFolder.create(real)
  await symlink(real, join(root, 'link'))
  await rejectsWith(t, () => ReplacedRun.putAside(join(root, 'link')), 'ERR_RUN_EXISTS', 'is no folder')
  await rejectsWith(t, () => ReplacedRun.putAside(root), 'ERR_RUN_EXISTS', 'run.json')
  await folder.writeInfo({ format: 1, magrpo: '0', origin: 'code', cwd: root })
  await rejectsWith(t, () => ReplacedRun.putAside(real), 'ERR_RUN_LOCKED')
  await folder.release()
  await mkdir(join(real, 'thesis'))
  await rejectsWith(t, () => ReplacedRun.putAside(real), 'ERR_RUN_EXISTS', 'thesis')
  t.true(existsSync(join(real, 'run.json')))
})

test('what was put aside comes back as it was, or goes', async (t) => {
  const root = await temporaryFolder(t)
  const path = join(root, 'run')
  const make = async () => {
    const folder = await RunFolder.create(path)
    await folder.writeInfo({ format: 1, magrpo: '0', origin: 'code', cwd: root })
    await folder.release()
  }
  await make()
  const replaced = (await ReplacedRun.putAside(path))!
  t.false(existsSync(path))
  await replaced.restore()
  t.deepEqual(await readdir(path), ['run.json'])
  const again = (await ReplacedRun.putAside(path))!
  await make()
  await again.remove()
  await again.restore()
  t.deepEqual(await readdir(root), ['run'])
})
