/** Options of the API are checked as those of the configuration are: unknown names, shorthand, and where a setting stands. */
import test from 'ava'
import type { RunConfig } from '../../lib/config/load.ts'
import { resolveConfig } from '../../lib/config/load.ts'
import * as magrpo from '../../lib/index.ts'
import { Policy, Team } from '../../lib/index.ts'
import { algorithmOf } from '../../lib/rl/algorithms/registry.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'

const { algorithms, defineTask, evaluate, train } = magrpo
const ids = (...values: number[]) => Int32Array.from(values)
const full = { estimator: 'k3', coefficient: 0.02, as: 'return' }
const task = defineTask({
  name: 'toy',
  agents: ['a', 'b'],
  items: [1],
  observe: () => ids(5, 17) as never,
  reward: (_, joint) => joint.a.ids.length - joint.b.ids.length,
  defaults: { maxNewTokens: 2 },
})

test('kl: 0.02 is a coefficient of 0.02, for every algorithm and in YAML', (t) => {
  for (const make of Object.values(algorithms)) {
    t.deepEqual(make({ kl: 0.02 }).kl as unknown, full)
    t.is(make({ kl: 0 }).kl, null)
    t.is(make({ kl: null }).kl, null)
    t.deepEqual(make({ clip: 0.2 }).clip, { low: 0.2, high: 0.2 })
  }
  const written = { team: { model: 'x' }, task: 'story', steps: 1, optimizer: { learningRate: 1 } }
  const config: RunConfig = resolveConfig({ ...written, algorithm: { kl: 0.02, clip: 0.1 } })
  const { name, ...settings } = config.algorithm
  const { kl, clip } = algorithmOf(name, settings)
  t.deepEqual([kl, clip] as unknown[], [full, { low: 0.1, high: 0.1 }])
  for (const kl of [-1, Number.NaN, 'k3', true, [0.02]])
    t.throws(() => algorithms.magrpo({ kl: kl as number }), {
      code: 'ERR_CONFIG',
      message: /kl: expected a number from 0 up, or/,
    })
})

test('unknown options of algorithms, by the names that other libraries have for them too', (t) => {
  const say = (options: object, message: RegExp) =>
    void t.throws(() => algorithms.magrpo(options), { code: 'ERR_CONFIG', message })
  say({ numGenerations: 8 }, /numGenerations: unknown key; did you mean "groupSize"/)
  say({ num_generations: 8 }, /did you mean "groupSize"/)
  say({ beta: 0.1 }, /did you mean "kl"/)
  say({ groupsize: 8 }, /did you mean "groupSize"/)
  say({ kl: { coeficient: 0.1 } }, /kl.coeficient: unknown key; did you mean "coefficient"/)
  for (const options of [null, 7, [], 'x', () => {}]) say(options as object, /expected an object; received/)
})

test('train, evaluate and YAML say where a setting stands', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  await using team = await Team.adapters(model, ['a', 'b'], { rank: 2 })
  const options = { team, task, steps: 1, optimizer: { learningRate: 1e-3 } }
  const say = (more: object, message: RegExp) =>
    void t.throws(() => train({ ...options, ...more }), { code: 'ERR_CONFIG', message })
  say({ learningRate: 1 }, /learningRate: unknown key; did you mean "optimizer.learningRate"/)
  say({ temperature: 1 }, /temperature: unknown key; did you mean "sampling.temperature"/)
  say({ groupSize: 4 }, /groupSize: unknown key; did you mean "algorithm.groupSize"/)
  say({ optimiser: {} }, /did you mean "optimizer"/)
  say({ rundir: 'x' }, /did you mean "runDir"/)
  say({ optimizer: { learningrate: 1 } }, /optimizer.learningrate: unknown key; did you mean "learningRate"/)
  say({ algorithm: 'magrpo' }, /algorithm: expected what magrpo\(/)
  say({ algorithm: { name: 'grpo', kl: 0.1 } }, /algorithm: expected what grpo\(/)
  say({ sinks: {} }, /sinks: expected a list/)
  say({ signal: 5 }, /signal: expected an AbortSignal/)
  await rejectsWith(t, () => evaluate({ team, task, temprature: 0.5 } as never), 'ERR_CONFIG', '"sampling.temperature"')
  await rejectsWith(t, () => evaluate({ team, task, onprogress: 0 } as never), 'ERR_CONFIG', '"onProgress"')
  const config = { team: { model: 'x' }, task: 'story', steps: 1, optimizer: {}, learningRate: 1e-5 }
  t.throws(() => resolveConfig(config), { message: /learningRate: unknown key; did you mean "optimizer.learningRate"/ })
})

test('mistyped options of policies', async (t) => {
  const policy = await Policy.lora(await openModel(t, goldenModel('llama')), { rank: 2 })
  const group = { promptIds: ids(1), completions: [{ ids: ids(2), weights: Float32Array.of(1) }] }
  const calls: [() => Promise<unknown>, string][] = [
    [() => policy.generate([ids(1)], { temprature: 0.5 } as never), 'temperature'],
    [() => policy.generate([ids(1)], { numGenerations: 2 } as never), 'count'],
    [() => policy.generate([ids(1)], { stream: { sed: 1 } } as never), 'seed'],
    [() => policy.logProbs([group], { maxTokens: 5 } as never), 'maxTokensPerMicroBatch'],
    [() => policy.accumulate([group], { los: {} } as never), 'loss'],
    [() => policy.accumulate([group], { loss: { klCoefficient: 1 } } as never), 'kl'],
    [() => policy.step({ lr: 1 } as never), 'learningRate'],
    [() => policy.attachValueHead({ hidden: 1 } as never), 'hiddenSize'],
    [() => policy.save('x', { merge: true } as never), 'merged'],
  ]
  for (const [call, name] of calls) await rejectsWith(t, call, 'ERR_CONFIG', 'unknown key', name)
  t.is((await policy.step({ learningRate: 0 })).gradNorm, 0)
})

test('accumulate without weights is an error; with weights of 0, or for a value alone, it is none', async (t) => {
  const policy = await Policy.lora(await openModel(t, goldenModel('llama')), { rank: 2 })
  await policy.attachValueHead()
  const pass = (completion: object, group: object = {}) =>
    policy.accumulate([{ promptIds: ids(1), completions: [{ ids: ids(2), ...completion }], ...group }])
  await rejectsWith(t, () => pass({}), 'ERR_ARGUMENT', 'weights', 'completion 0 of group 0', 'logProbs')
  await t.notThrowsAsync(pass({ weights: Float32Array.of(0) }))
  await t.notThrowsAsync(pass({ valueTarget: 1, valueWeight: 1 }, { valueAt: 'prompt' }))
})

test('two runs on one team are refused, and the first goes on', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  await using team = await Team.adapters(model, ['a', 'b'], { rank: 2 })
  const options = { team, task, steps: 2, optimizer: { learningRate: 1e-3 } }
  const first = train(options)
  for await (const { index } of first) {
    if (index > 1) continue
    await rejectsWith(t, () => train(options).result, 'ERR_ARGUMENT', "'a' is being trained", 'team of its own')
    const other = await Team.of(team.agents.map(({ name, policy }) => ({ name, policy })))
    await rejectsWith(t, () => train({ ...options, team: other }).result, 'ERR_ARGUMENT', 'is being trained')
    await t.notThrowsAsync(evaluate({ team, task }))
  }
  t.is((await first.result).steps, 2)
  t.is((await train(options).result).steps, 2)
})
