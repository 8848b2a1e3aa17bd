import test from 'ava'
import { createCodeReward } from '../../lib/tasks/code/reward.ts'
import { checkMutants, mbpp } from '../support/mutants.ts'
import { skipBecause } from '../support/skip.ts'

test('200 changed solutions: what fails an assert in plain CPython gets no full marks', (t) => checkMutants(t, 200, 1))

test('all solutions of sanitized MBPP pass all their tests under strict rules', async (t) => {
  const problems = mbpp()
  if (problems === undefined) return skipBecause(t, '../shared/data/sanitized-mbpp.json is not here')
  const reward = createCodeReward({ rules: 'strict' })
  try {
    await Promise.all(
      problems.map(async (item) => {
        const { parts } = await reward.score(item, [item.solution])
        t.deepEqual([parts.tests, parts.forgeable], [1, 0], `${item.task_id} ${JSON.stringify(parts)}`)
      }),
    )
  } finally {
    await reward.dispose()
  }
})
