/** Python with transformers and PEFT, for tests of `test/full`. */
import { spawn } from 'node:child_process'
import type { ExecutionContext } from 'ava'
import { goldenDir } from './fixtures.ts'
import { skipBecause } from './skip.ts'

interface ReferenceScript {
  ensureReferencePython(options: { log(line: string): void }): Promise<string>
}

let python: Promise<string> | undefined

/**
 * The Python of the reference environment, which is made by the first call where it is missing.
 *
 * @returns undefined where it cannot be had; the test is skipped then, with the reason printed
 */
export async function referencePython(t: ExecutionContext): Promise<string | undefined> {
  const script = new URL('../../scripts/reference-env.mjs', import.meta.url).href
  python ??= import(script).then((module: ReferenceScript) =>
    module.ensureReferencePython({ log: (line) => t.log(line) }),
  )
  try {
    return await python
  } catch (error) {
    skipBecause(t, `no reference environment: ${(error as Error).message}`)
    return undefined
  }
}

/**
 * Runs a script of `test/golden`.
 *
 * @param input lines of JSON for its standard input
 * @returns the lines of JSON it prints
 * @throws Error with what it wrote to stderr where it fails
 */
export function runReference(
  command: string,
  script: string,
  args: readonly string[],
  input: readonly unknown[],
): Promise<unknown[]> {
  const child = spawn(command, [goldenDir(script), ...args], { env: { ...process.env, HF_HUB_OFFLINE: '1' } })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.on('error', () => {}) // a script that fails early closes its input; its exit code says so
  child.stdin.end(input.map((line) => `${JSON.stringify(line)}\n`).join(''))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`${script} ended with ${code}: ${stderr.slice(-2000)}`))
      resolve(
        stdout
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line)),
      )
    })
  })
}
