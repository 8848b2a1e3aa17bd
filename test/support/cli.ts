/** Runs the command line as a process of its own, from the sources. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { repositoryDir } from './fixtures.ts'

/** What a command printed and how it ended. */
export interface CliResult {
  stdout: string
  stderr: string
  /** Exit code; null if a signal ended it. */
  code: number | null
  /** Each line of stdout, parsed. Throws if one is no JSON. */
  json(): unknown[]
}

/** Settings of {@link runCli}. */
export interface CliOptions {
  /** Standard input; it is closed after it. */
  input?: string
  env?: Record<string, string>
  cwd?: string
  /** Called with the process as soon as it runs. */
  onSpawn?(child: ChildProcess): void
}

/** Runs `magrpo ...args` to its end. */
export function runCli(args: string[], options: CliOptions = {}): Promise<CliResult> {
  const script = join(repositoryDir, 'test/support/run-cli.ts')
  const tsx = import.meta.resolve('tsx')
  const child = spawn(process.execPath, [`--import=${tsx}`, script, ...args], {
    cwd: options.cwd ?? repositoryDir,
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A command that fails early closes its input; that is its right.
  child.stdin.on('error', () => {})
  if (options.input !== undefined) child.stdin.end(options.input)
  else child.stdin.end()
  options.onSpawn?.(child)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ stdout, stderr, code, json: () => parseLines(stdout) }))
  })
}

function parseLines(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)
}
