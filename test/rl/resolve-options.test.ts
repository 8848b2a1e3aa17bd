import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { grpo } from '../../lib/rl/algorithms/grpo.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { resolveSampling, resolveTrainOptions } from '../../lib/rl/resolve-options.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

const { agents } = tableBackend(new TableEngine(2, { prompts: 1, positions: 1, tokens: 2 }), ['left', 'right'])
const resolve = (
  changes: Partial<Omit<TrainOptions<ToyItem>, 'team'>> = {},
  team = agents,
  where?: Parameters<typeof resolveTrainOptions>[2],
) =>
  resolveTrainOptions({ task: complementTask(), optimizer: { learningRate: 1e-3 }, steps: 2, ...changes }, team, where)

test('every default is filled in, and the result is plain JSON', (t) => {
  const resolved = resolve()
  t.deepEqual(JSON.parse(JSON.stringify(resolved)), resolved)
  t.deepEqual(resolved.optimizer, {
    learningRate: 1e-3,
    betas: [0.9, 0.999],
    epsilon: 1e-8,
    weightDecay: 0.01,
    decay: 'matrices',
    maxGradNorm: 0,
    moments: 'float32',
    schedule: 'constant',
    warmupSteps: 0,
    sharded: false,
    offload: false,
  })
  t.deepEqual(resolved.algorithm, { ...magrpo(), terminationThreshold: null })
})

test('sampling: what is given, else the task, else the library', (t) => {
  t.deepEqual(resolveSampling({ temperature: 0.5 }, { maxNewTokens: 9, temperature: 0.9, stop: ['\n'] }).value, {
    temperature: 0.5,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    maxNewTokens: 9,
    stop: ['\n'],
  })
})

test('epochs become steps', (t) => {
  t.is(resolve({ steps: undefined, epochs: 3, promptsPerStep: 4 }).steps, 2)
})

for (const [what, changes, expected] of [
  ['both lengths', { epochs: 1 }, /steps: expected either steps or epochs, received both/],
  ['no length', { steps: undefined }, /steps: expected either steps or epochs, received neither/],
  ['more than a heap holds', { promptsPerStep: 1e8 }, /promptsPerStep: expected at most 262144 completions a step/],
  [
    'more turns than a heap holds',
    {
      algorithm: magrpo({ groupSize: 8, turns: 20 }),
      task: { ...complementTask(), transition: () => 'stop' as const },
    },
    /algorithm\.turns: expected at most 262144 completions a prompt/,
  ],
  [
    'an evaluation that no heap holds',
    { evalEvery: 1, evalSamples: 1e8, task: { ...complementTask(), heldOut: complementTask().items } },
    /evalSamples: expected at most 262144 completions an evaluation/,
  ],
  [
    'more parts than groups',
    { promptsPerStep: 4, minibatches: 5 },
    /minibatches: expected at most 4, the groups of a step \(promptsPerStep 4\), received 5/,
  ],
  ['half a step', { steps: 0.5 }, /steps: expected an integer from 1 up; received 0.5/],
  ['greedy training', { sampling: { temperature: 0 } }, /sampling.temperature: expected a number above 0 \(greedy/],
  ['no rate', { optimizer: {} as never }, /optimizer.learningRate: missing; expected a number from 0 up/],
  ['a NaN rate', { optimizer: { learningRate: NaN } }, /optimizer.learningRate: .* received NaN/],
  [
    'schedule',
    { optimizer: { learningRate: 1, schedule: 'step' as never } },
    /schedule: unknown value "step"; known: constant, linear, cosine/,
  ],
  ['seed', { seed: -1 }, /seed: expected an integer from 0 to 2\^32 - 1; received -1/],
  ['an endless wait', { rewardTimeoutMs: Infinity }, /rewardTimeoutMs: .* received Infinity/],
  ['no held-out items', { evalEvery: 1, task: complementTask({ heldOut: [] }) }, /evalEvery: expected held-out items/],
  [
    'no transition',
    { algorithm: magrpo({ turns: 2 }) },
    /algorithm.turns: expected a task with a transition for 2 turns/,
  ],
  ['grpo with a team', { algorithm: grpo() }, /algorithm: expected one agent for grpo, received 2/],
  [
    'a huge cross',
    { algorithm: magrpo({ groupSize: 100, jointMode: 'cross' }) },
    /at most 4096 joint .*\(algorithm.maxJointActions\), received groupSize\^agents = 100\^2 = 10000/,
  ],
] as const) {
  test(`refused: ${what}`, (t) => {
    t.throws(() => resolve(changes), { instanceOf: ConfigError, message: expected })
  })
}

test('all that is wrong is said at once', (t) => {
  const error = t.throws(() => resolve({ minibatches: 0, logSamples: -1, promptsPerStep: 1.5 }), {
    instanceOf: ConfigError,
  })
  t.deepEqual(
    error.issues.map(({ path }) => path),
    ['promptsPerStep', 'minibatches', 'logSamples'],
  )
})

test('an optimizer is spread over several processes that train all weights, and nothing else', (t) => {
  const optimizer = { learningRate: 1, sharded: true }
  const full = agents.map((agent) => ({ ...agent, kind: 'full' as const }))
  t.true(resolve({ optimizer }, full, { ranks: 2 }).optimizer.sharded)
  t.throws(() => resolve({ optimizer }, full, { ranks: 1 }), {
    message: /optimizer\.sharded: expected several processes .*received one/,
  })
  const mixed = [full[0]!, { ...agents[1]!, kind: 'lora' as const }]
  t.throws(() => resolve({ optimizer }, mixed, { ranks: 2 }), {
    message: /optimizer\.sharded: .*'right' trains an adapter/,
  })
})

test("an optimizer is offloaded from CUDA devices alone, as the processor's memory is the host's", (t) => {
  const optimizer = { learningRate: 1, offload: true }
  t.true(resolve({ optimizer }, agents, { devices: ['cuda:0', 'cuda:1'] }).optimizer.offload)
  t.throws(() => resolve({ optimizer }, agents, { devices: ['cuda:0', 'cpu'] }), {
    instanceOf: ConfigError,
    message: /optimizer\.offload: expected agents on CUDA devices .*'right' trains on the processor/,
  })
  t.throws(() => resolve({ optimizer }), { message: /'left', 'right' train on the processor, where .* already/ })
  const frozen = [agents[0]!, { ...agents[1]!, kind: 'base' as const }]
  t.true(resolve({ optimizer }, frozen, { devices: ['cuda:0', 'cpu'] }).optimizer.offload)
})

test('team and task must fit', (t) => {
  t.throws(() => resolve({}, agents.slice(0, 1)), { code: 'ERR_TASK', message: /\(left, right\), but received left\./ })
  t.throws(() => resolve({ task: complementTask({ items: [] }) }), { code: 'ERR_TASK', message: /at least one item/ })
  const frozen = agents.map((agent) => ({ ...agent, kind: 'base' as const }))
  t.throws(() => resolve({}, frozen), { instanceOf: ConfigError, message: /at least one agent that can be trained/ })
})

test('the limit of joint actions can be raised', (t) => {
  const algorithm = magrpo({ groupSize: 100, jointMode: 'cross', maxJointActions: 10_000 })
  t.is(resolve({ algorithm }).algorithm.maxJointActions, 10_000)
  t.throws(() => resolve({ algorithm: magrpo({ groupSize: 5, maxJointActions: 4 }) }), {
    message: /received 5 in jointMode 'align'/,
  })
})

test("the task's threshold, unless the algorithm has one", (t) => {
  const task = complementTask({ defaults: { terminationThreshold: 3 } })
  t.is(resolve({ task }).algorithm.terminationThreshold, 3)
  t.is(resolve({ task, algorithm: magrpo({ terminationThreshold: null }) }).algorithm.terminationThreshold, null)
  t.is(resolve({ task, algorithm: magrpo({ terminationThreshold: 1 }) }).algorithm.terminationThreshold, 1)
  t.is(resolve().algorithm.terminationThreshold, null)
})
