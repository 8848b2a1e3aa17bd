/** The examples in TypeScript run as their first lines say. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'
import { asciiModel } from '../support/tiny-model.ts'

function start(file: string, args: string[] = [], env: Record<string, string> = {}): ChildProcess {
  const tsx = import.meta.resolve('tsx')
  return spawn(process.execPath, [`--import=${tsx}`, join('examples', file), ...args], {
    cwd: repositoryDir,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function run(file: string, args: string[] = [], env: Record<string, string> = {}): Promise<string> {
  const child = start(file, args, env)
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${file} ended with ${code}: ${output}`)
  return output
}

test('two turns: what agents agree on rises, in both turns', async (t) => {
  const rewards = (await run('two-turns.ts')).match(/(?<=turn 1: )[\d.]+/g)!.map(Number)
  t.is(rewards.length, 20)
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  t.true(mean(rewards.slice(-5)) > mean(rewards.slice(0, 5)) + 0.2, String(rewards))
})

test('two models: one package model and another architecture', async (t) => {
  const model = asciiModel()
  t.regex(
    await run('two-models.ts', [model, 'builtin:mini-code'], { STEPS: '2' }),
    /^1 reward .*\n2 reward .* tokens .*\n$/,
  )
})

test('the service streams both agents, survives a client that leaves, and ends with Ctrl-C', async (t) => {
  const child = start('http-service.ts', ['0'])
  t.teardown(() => child.kill('SIGKILL'))
  const [first] = await once(child.stdout!.setEncoding('utf8'), 'data')
  const url = String(first).trim()
  const ask = (signal?: AbortSignal) => fetch(`${url}/?prompt=${encodeURIComponent('def solve(xs):\n')}`, { signal })

  const leaving = new AbortController()
  const left = await ask(leaving.signal)
  await left.body!.getReader().read()
  leaving.abort()

  const lines = (await (await ask()).text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  for (const agent of ['aux', 'main']) {
    const own = lines.filter((line) => line.agent === agent)
    t.true(own.length >= 2, agent)
    t.regex(own.at(-1).finish, /^(stop|length)$/)
  }
  t.is((await fetch(url)).status, 400)

  const closed = once(child, 'close')
  child.kill('SIGINT')
  t.deepEqual(await closed, [0, null])
})
