import test from 'ava'
import { checkMutants, humanEval } from '../support/mutants.ts'

// The project's own problems alone have hardly more different changes than these.
const count = humanEval() === undefined ? 1000 : 3000

test(`${count} changed solutions: what fails an assert in plain CPython gets no full marks`, (t) => {
  t.timeout(3 * 3_600_000)
  return checkMutants(t, count, 2)
})
