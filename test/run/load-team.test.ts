import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { resolveConfig } from '../../lib/config/load.ts'
import { grpo } from '../../lib/rl/algorithms/grpo.ts'
import { iac } from '../../lib/rl/algorithms/iac.ts'
import { maac } from '../../lib/rl/algorithms/maac.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { backendOf } from '../../lib/rl/team/policy-engine.ts'
import { type LoadedTeam, loadTeam } from '../../lib/session/load-team.ts'
import { asciiModel } from '../support/tiny-model.ts'

const names = ['left', 'right']
const full = { adapter: 'full' }

/** Loads a team of a small model with settings of its own. */
async function withTeam(
  settings: Record<string, unknown>,
  algorithm: ReturnType<typeof magrpo>,
  work: (loaded: LoadedTeam) => void | Promise<void>,
): Promise<void> {
  const model = asciiModel()
  const critic = settings.critic === true ? { critic: model } : {}
  const { team } = resolveConfig({
    team: { model, device: 'cpu', ...settings, ...critic },
    task: 'story',
    optimizer: { learningRate: 1 },
    steps: 1,
  })
  const loaded = await loadTeam(team, names, 0, { algorithm })
  try {
    await work(loaded)
  } finally {
    await loaded.dispose()
  }
}

test.serial('full weights with a KL penalty: a frozen copy for each agent', async (t) => {
  await withTeam(full, magrpo({ kl: {} }), ({ team, models }) => {
    t.is(models.length, 4)
    for (const { policy, reference } of team.agents) {
      t.is(reference!.kind, 'base')
      t.not(reference!.model, policy.model)
    }
    t.deepEqual(backendOf(team).auxiliary.check(magrpo({ kl: {} })), [])
  })
  await withTeam(full, magrpo(), ({ models }) => void t.is(models.length, 2))
})

test.serial('adapters with a KL penalty: no second copy', async (t) => {
  await withTeam({}, magrpo({ kl: {} }), async ({ team, models }) => {
    t.is(models.length, 1)
    const { references } = await backendOf(team).auxiliary.prepare(magrpo({ kl: {} }), 0)
    t.deepEqual(references, [2, 2])
  })
})

test.serial('shared weights: one policy for all agents', async (t) => {
  for (const settings of [{ sharedWeights: true }, { sharedWeights: true, ...full }]) {
    await withTeam(settings, magrpo({ kl: {} }), ({ team, models }) => {
      t.is(team.policies.length, 1)
      t.is(models.length, 'adapter' in settings ? 2 : 1)
    })
  }
  const two = { model: undefined, models: ['a', 'b'], sharedWeights: true }
  await t.throwsAsync(
    withTeam(two, magrpo(), () => {}),
    { instanceOf: ConfigError, message: /team.models: expected one model/ },
  )
})

test.serial('critics over a model of their own', async (t) => {
  for (const [settings, algorithm, critics, models] of [
    [{ critic: true }, maac(), 1, 1],
    [{ critic: true }, iac(), 2, 1],
    [{ critic: true, ...full }, maac(), 1, 3],
    [{ critic: true, ...full }, iac(), 2, 4],
    [full, iac({ critic: { placement: 'shared' } }), 0, 2],
  ] as const) {
    await withTeam(settings, algorithm, async (loaded) => {
      t.is(loaded.team.critics.length, critics)
      t.is(loaded.models.length, models)
      t.deepEqual(backendOf(loaded.team).auxiliary.check(algorithm), [])
    })
  }
  await t.throwsAsync(
    withTeam({ critic: true }, grpo(), () => {}),
    { instanceOf: ConfigError, message: /team.critic: .* but it is grpo/ },
  )
})
