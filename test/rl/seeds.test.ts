/** What teams and their critics start from: functions of (seed, role, number), and of nothing else. */
import test, { type ExecutionContext } from 'ava'
import type { Policy } from '../../lib/model/policy.ts'
import { iac } from '../../lib/rl/algorithms/iac.ts'
import { maac } from '../../lib/rl/algorithms/maac.ts'
import type { Algorithm } from '../../lib/rl/options/algorithm.ts'
import { backendOf } from '../../lib/rl/team/policy-engine.ts'
import { Team } from '../../lib/rl/team/team.ts'
import { goldenModel } from '../support/golden-models.ts'
import { policyTensors } from '../support/native-golden.ts'
import { nativeOf, openModel } from '../support/open-model.ts'

const model = (t: ExecutionContext) => openModel(t, goldenModel('llama'))
const distinct = (starts: readonly unknown[]) => new Set(starts.map((start) => JSON.stringify(start))).size
const weightsOf = async (policy: Policy) =>
  [...(await policyTensors(nativeOf(policy), 'weights'))].map(([name, tensor]) => [name, [...tensor]])
const values = async (policy: Policy) => {
  const group = {
    promptIds: Int32Array.of(5, 17),
    completions: [{ ids: Int32Array.of(3) }],
    valueAt: 'prompt' as const,
  }
  return (await policy.logProbs([group]))[0]!.values
}

test('adapters of neighbouring seeds have no start in common', async (t) => {
  const base = await model(t)
  const starts: unknown[] = []
  for (const seed of [0, 1, 2]) {
    await using team = await Team.adapters(base, ['a', 'b', 'c'], { rank: 2, seed })
    for (const policy of team.policies) starts.push(await weightsOf(policy))
  }
  t.is(distinct(starts), 9)
  await using again = await Team.adapters(base, ['a', 'b'], { rank: 2, seed: 1 })
  t.deepEqual(await Promise.all(again.policies.map(weightsOf)), starts.slice(3, 5), 'whatever the size of the team')
  await using shared = await Team.shared(base, ['a', 'b'], { rank: 2, seed: 1 })
  t.deepEqual(await weightsOf(shared.policies[0]!), starts[3])
})

for (const [name, algorithm, count] of [
  ['iac', iac(), 2],
  ['maac', maac(), 1],
] as [string, Algorithm, number][])
  test(`separate critics of ${name} follow the seed, adapters and heads`, async (t) => {
    const base = await model(t)
    const starts: unknown[] = []
    const heads: unknown[] = []
    for (const seed of [0, 1, 1]) {
      await using team = await Team.adapters(base, ['a', 'b'], { rank: 2 })
      await backendOf(team).auxiliary.prepare(algorithm, seed)
      t.is(team.critics.length, count)
      for (const critic of team.critics) {
        starts.push(await weightsOf(critic))
        heads.push(await values(critic))
      }
    }
    t.is(distinct(starts), 2 * count)
    t.is(distinct(heads), 2 * count)
    t.deepEqual(starts.slice(count, 2 * count), starts.slice(2 * count))
  })

test('shared heads follow the seed', async (t) => {
  const base = await model(t)
  const heads: unknown[] = []
  for (const seed of [0, 1, 1]) {
    await using team = await Team.adapters(base, ['a', 'b'], { rank: 2 })
    await backendOf(team).auxiliary.prepare(iac({ critic: { placement: 'shared' } }), seed)
    for (const policy of team.policies) heads.push(await values(policy))
  }
  t.is(distinct(heads), 4)
})
