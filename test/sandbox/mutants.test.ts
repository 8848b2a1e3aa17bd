import test from 'ava'
import { createCodeReward } from '../../lib/tasks/code/reward.ts'
import { checkMutants, ownProblems, runPlainly } from '../support/mutants.ts'

test("the project's own solutions pass all their tests, in plain CPython and under strict rules", async (t) => {
  const problems = ownProblems()
  const plain = runPlainly(
    problems.map(({ solution, test, entry_point }) => ({ program: solution, tests: test, entryPoint: entry_point })),
  )
  const reward = createCodeReward({ rules: 'strict' })
  try {
    for (const [index, item] of problems.entries()) {
      t.true(item.solution.startsWith(item.prompt), item.entry_point)
      const passed = plain[index] ?? []
      t.true(passed.length >= 4 && passed.every(Boolean), `${item.entry_point}: ${passed}`)
      const { parts } = await reward.score(item, [item.solution])
      const { tests, tests_passed, tests_total, forgeable } = parts
      const all = passed.length
      t.deepEqual([tests, tests_passed, tests_total, forgeable], [1, all, all, 0], item.entry_point)
    }
  } finally {
    await reward.dispose()
  }
})

test('200 changed solutions: what fails an assert in plain CPython gets no full marks', (t) => checkMutants(t, 200, 1))
