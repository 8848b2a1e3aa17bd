/** docs/first-hour.md: its files are written and its commands run, in its order, as they stand there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const page = readFileSync(join(repositoryDir, 'docs/first-hour.md'), 'utf8')
const command = join(repositoryDir, 'bin/magrpo.mjs')

/** Words of a command line; quotes hold words together. */
const words = (line: string) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)

interface Ended {
  code: number | null
  output: string
}

/** Runs a line of the page; `onOutput` sees all output so far. */
function run(
  line: string,
  cwd: string,
  onOutput: (output: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const [typed, input] = line.split(' < ') as [string, string?]
  const child = spawn(process.execPath, [command, ...words(typed).slice(2)], {
    cwd,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: [input === undefined ? 'ignore' : openSync(join(cwd, input), 'r'), 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream!.setEncoding('utf8').on('data', (text: string) => {
      output += text
      onOutput(output, child)
    })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })))
}

test('every file and every command, in this order', async (t) => {
  const cwd = await temporaryFolder(t)
  mkdirSync(join(cwd, 'node_modules'))
  symlinkSync(repositoryDir, join(cwd, 'node_modules/magrpo')) // in the clone the package finds itself
  for (const [, name, text] of page.matchAll(/`(first\/[\w.-]+)`[^`]*\n\n```(?:js|yaml|json)\n([\s\S]*?)^```/gm)) {
    mkdirSync(dirname(join(cwd, name!)), { recursive: true })
    writeFileSync(join(cwd, name!), text!)
  }
  const lines = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) => block!.trim().split('\n'))
  // What sets the clone up and tests it has been done where this runs.
  t.deepEqual(lines.splice(0, 2), ['npm run demo', 'npm test'])
  t.true(lines.length >= 9)
  for (const line of lines) {
    t.regex(line, /^npx magrpo \w+/)
    const isWatch = line.startsWith('npx magrpo watch')
    const isStopped = line.includes('runs/stopped --seed')
    let isInterrupted = false
    const { code, output } = await run(isWatch ? `${line} --port 0` : line, cwd, (text, child) => {
      if (isInterrupted || !(isWatch ? /http:\/\/\S+/ : isStopped ? /step +\d+\/200/ : /$^/).test(text)) return
      isInterrupted = true
      child.kill('SIGINT')
    })
    t.is(code, isStopped ? 130 : 0, `${line}\n${output}`)
    t.log(line)
  }
  const last = readFileSync(join(cwd, 'runs/same-idea/metrics.jsonl'), 'utf8').trimEnd().split('\n').at(-1)!
  t.true(JSON.parse(last)['eval/reward/mean'] > 0.8, last)
  t.is(
    readFileSync(join(cwd, 'runs/stopped/metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .filter((row) => row.includes('"reward/mean"')).length,
    200,
  )
  t.true(existsSync(join(cwd, 'first/report.html')))
  t.true(existsSync(join(cwd, 'first/team/right/model.safetensors')))
})
