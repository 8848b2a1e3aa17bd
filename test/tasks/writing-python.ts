/** Running the reference scripts of `test/golden` with the user's own python3. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Runs `test/golden/<script>` with `input` as JSON on stdin and returns its JSON output; undefined without python3. */
export function runReference<Result>(script: string, input: unknown): Result | undefined {
  const path = fileURLToPath(new URL(`../golden/${script}`, import.meta.url))
  const run = spawnSync('python3', ['-X', 'utf8', path], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  })
  if (run.error && (run.error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  if (run.status !== 0) throw new Error(`${script} failed: ${run.stderr}`)
  return JSON.parse(run.stdout) as Result
}

/** A small seeded generator of numbers in 0..1, so that random tests repeat. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    // The low bits of such a generator are poor.
    return ((state >>> 8) & 0xffffff) / 0x1000000
  }
}
