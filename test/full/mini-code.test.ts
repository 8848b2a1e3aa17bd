import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { Team } from '../../lib/rl/team/team.ts'
import { evaluate } from '../../lib/session/evaluate.ts'
import { conventionEntropy } from '../../lib/tasks/mini-code/convention.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import { runCli } from '../support/cli.ts'

test.serial(
  'the demo learns: at most 0.40 of the held-out programs pass before training and at least 0.93 after',
  async (t) => {
    const result = await runCli(['demo', '--json', '--quiet', '--seed', '1'])
    t.is(result.code, 0, result.stderr)
    const [{ before, after }] = result.json() as [{ before: { pass_rate: number }; after: { pass_rate: number } }]
    t.log(`${before.pass_rate} before, ${after.pass_rate} after`)
    t.true(before.pass_rate <= 0.4, `before: ${before.pass_rate}`)
    t.true(after.pass_rate >= 0.93, `after: ${after.pass_rate}`)
  },
)

test.serial(
  'the shipped model has no favourite: each agent chooses its convention with at least 1.8 bits of entropy',
  async (t) => {
    await using model = await Model.load('builtin:mini-code', { device: 'cpu' })
    const policy = Policy.base(model)
    await using team = await Team.of(['aux', 'main'].map((name) => ({ name, policy })))
    const task = miniCode({ heldOut: 200, experiments: 0 })
    t.teardown(() => task.dispose?.())
    const { metrics } = await evaluate({ team, task, samples: 4, greedy: false, seed: 1 })
    for (const agent of ['aux', 'main'] as const) {
      const bits = conventionEntropy(metrics, agent, 'eval/task/')
      t.log(`${agent}: ${bits.toFixed(3)} bits`)
      t.true(bits >= 1.8 && bits <= Math.log2(5), `${agent}: ${bits}`)
    }
  },
)
