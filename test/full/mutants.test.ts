import test from 'ava'
import { checkMutants } from '../support/mutants.ts'

// `npm test` of a checkout that stands alone changes the project's own solutions only; where HumanEval is here, this takes its.
test('300 changed solutions: what fails an assert in plain CPython gets no full marks', (t) => checkMutants(t, 300, 5))
