/** Tests that cannot run here. */
import type { ExecutionContext } from 'ava'

/**
 * Leaves out a test that cannot run here, and says why; the test has to return then. Ava knows no skipping while a test runs, so
 * `scripts/test/tap.mjs` counts a test that passes and logs such a line as skipped.
 */
export function skipBecause(t: ExecutionContext, why: string): void {
  t.log(`skipped: ${why}`)
  t.pass()
}
