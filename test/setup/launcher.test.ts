import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { root, temporaryFolder } from './stand-ins.ts'

// A clone in which nothing is compiled or installed yet.
function bareClone(t: ExecutionContext) {
  const folder = temporaryFolder(t)
  for (const part of ['bin', 'scripts', 'package.json'])
    cpSync(path.join(root, part), path.join(folder, part), { recursive: true })
  const env = { ...process.env, NODE_OPTIONS: '' }
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(folder, 'bin/magrpo.mjs'), ...args], { encoding: 'utf8', env })
  return { folder, run }
}

test('before set-up, every command but setup says that it is needed', (t) => {
  const { run } = bareClone(t)
  const doctor = run('doctor')
  t.deepEqual([doctor.status, doctor.stdout], [1, ''])
  t.is(doctor.stderr, 'magrpo is not compiled yet. Run: npm run setup (or: npx magrpo setup)\n')
  const setup = run('setup', '--only', 'platform')
  t.is(setup.status, 0)
  t.regex(setup.stderr, /^= platform /)
})

test('once compiled, the launcher starts the command line with its arguments and exit code', (t) => {
  const { folder, run } = bareClone(t)
  mkdirSync(path.join(folder, 'dist/cli'), { recursive: true })
  writeFileSync(
    path.join(folder, 'dist/cli/main.js'),
    'export async function main(argv) { console.log(argv.slice(2).join()); return 7 }',
  )
  const { status, stdout } = run('generate', '--json')
  t.deepEqual([status, stdout], [7, 'generate,--json\n'])
})

test('a program that cannot be loaded for want of file descriptors is a sentence with a code', (t) => {
  const { folder, run } = bareClone(t)
  mkdirSync(path.join(folder, 'dist/cli'), { recursive: true })
  const error = "Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })"
  writeFileSync(path.join(folder, 'dist/cli/main.js'), `throw ${error}`)
  const { status, stderr } = run('doctor')
  t.is(status, 1)
  t.regex(stderr, /^magrpo: cannot be loaded: EMFILE: too many open files\n.*ulimit -n 4096\ncode: EMFILE\n$/)
})
