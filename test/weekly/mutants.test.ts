import test from 'ava'
import { checkMutants } from '../support/mutants.ts'

for (const seed of [2, 3, 4])
  test.serial(`1000 changed solutions, seed ${seed}: what fails an assert in plain CPython gets no full marks`, (t) => {
    t.timeout(3_600_000)
    return checkMutants(t, 1000, seed)
  })
