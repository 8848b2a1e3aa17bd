import test from 'ava'
import { createCodeReward } from '../../lib/tasks/code/reward.ts'
import { mbpp } from '../support/mutants.ts'
import { skipBecause } from '../support/skip.ts'

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
