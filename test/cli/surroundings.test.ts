/** Surroundings in which no command can work: a sentence with a code and exit code 1, never a stack trace. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { repositoryDir } from '../support/fixtures.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const main = join(repositoryDir, 'lib/cli/main.ts')

/** Runs the command line after some code, with standard output to a file; what it wrote to standard error. */
async function run(t: ExecutionContext, args: string[], { before = '', cwd = repositoryDir, out = '/dev/null' } = {}) {
  const script = join(await temporaryFolder(t), 'run.mts')
  await writeFile(
    script,
    `${before}\nconst { main } = await import(${JSON.stringify(main)})\nprocess.exitCode = await main(process.argv)\n`,
  )
  const file = await open(out, 'w')
  const child = spawn(process.execPath, [`--import=${import.meta.resolve('tsx')}`, script, ...args], {
    cwd,
    stdio: ['ignore', file.fd, 'pipe'],
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  await file.close()
  return { code, stderr }
}

function isSentence(t: ExecutionContext, { code, stderr }: { code: unknown; stderr: string }, error: string): void {
  t.is(code, 1, stderr)
  t.regex(stderr, new RegExp(`^code: ${error}$`, 'm'))
  t.notRegex(stderr, /^ {4}at /m)
}

test('a full standard output is an error with a code, of texts that nobody waits for too', async (t) => {
  if (!existsSync('/dev/full')) return skipBecause(t, 'there is no /dev/full')
  const result = await run(t, ['--help'], { out: '/dev/full' })
  isSentence(t, result, 'ERR_OUTPUT')
  t.regex(result.stderr, /^magrpo: Standard output cannot be written: .*Make space/)
})

test('a run whose standard output is full says so at the end, and is recorded', async (t) => {
  if (!existsSync('/dev/full')) return skipBecause(t, 'there is no /dev/full')
  const folder = await temporaryFolder(t)
  await writeFile(
    join(folder, 'task.mjs'),
    `export default { name: 'short', agents: ['one'], items: [{ prompt: 'item' }], observe: (item) => item.prompt,
reward: (item, [{ text }]) => text.length, defaults: { maxNewTokens: 2 } }`,
  )
  const yaml = `team: { model: ${JSON.stringify(tinyModel({ tokenizer: true }))}, adapter: { rank: 2 } }
task: { module: task.mjs }
algorithm: { groupSize: 2 }
optimizer: { learningRate: 1.0e-3 }
steps: 1
`
  await writeFile(join(folder, 'short.yaml'), yaml)
  const reasonOf = async (name: string) => JSON.parse(await readFile(join(folder, name, 'result.json'), 'utf8')).reason
  const train = ['train', 'short.yaml', '--quiet', '--run-dir']
  isSentence(t, await run(t, [...train, 'text'], { cwd: folder, out: '/dev/full' }), 'ERR_OUTPUT')
  t.is(await reasonOf('text'), 'finished')
  isSentence(t, await run(t, [...train, 'json', '--json'], { cwd: folder, out: '/dev/full' }), 'ERR_OUTPUT')
  t.is(await reasonOf('json'), 'failed')
})

test('a working directory that is gone is said before anything is loaded', async (t) => {
  const before = `import { mkdtempSync, rmdirSync } from 'node:fs'
const folder = mkdtempSync('/tmp/magrpo-gone-')
process.chdir(folder)
process.cwd()
rmdirSync(folder)`
  for (const args of [['doctor'], ['--version']]) {
    const result = await run(t, args, { before })
    isSentence(t, result, 'ERR_ARGUMENT')
    t.regex(result.stderr, /^magrpo: The working directory .*does not exist/)
  }
})
