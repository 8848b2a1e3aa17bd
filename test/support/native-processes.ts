/** Runs a piece of a program in a process of its own, from the sources: to see it end, or crash. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { repositoryDir } from './fixtures.ts'

/** How a process ended, and what it wrote. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** The URL of a module of `lib`, for programs of {@link runProgram} and for workers. */
export const libUrl = (path: string): string => new URL(`../../lib/${path}`, import.meta.url).href

/**
 * @param source text of an ES module; `lib(path)` imports a module of `lib`
 * @param args what the program finds in `process.argv` from 2 on
 * @param onOutput called with all of stdout so far, and the process
 */
export async function runProgram(
  source: string,
  args: readonly string[] = [],
  onOutput: (stdout: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  while (running.size >= atOnce) await Promise.race(running).catch(() => {})
  const ended = start(source, args, onOutput)
  running.add(ended)
  const forget = () => running.delete(ended)
  ended.then(forget, forget)
  return ended
}

/** ava starts all tests of a file together; each process has a compiler, libtorch and two threads of its own. */
const atOnce = 2
const running = new Set<Promise<unknown>>()

function start(
  source: string,
  args: readonly string[],
  onOutput: (stdout: string, child: ChildProcess) => void,
): Promise<Ended> {
  const prelude = `const lib = (path) => import(${JSON.stringify(libUrl(''))} + path)\n`
  const node = [`--import=${import.meta.resolve('tsx')}`, '--input-type=module', '--expose-gc', '-e', prelude + source]
  const child = spawn(process.execPath, [...node, '--', ...args], {
    cwd: join(repositoryDir, 'test'),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    onOutput(stdout, child)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}
