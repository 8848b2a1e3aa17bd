import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { resolveConfig } from '../../lib/config/load.ts'
import { grpo } from '../../lib/rl/algorithms/grpo.ts'
import { iac } from '../../lib/rl/algorithms/iac.ts'
import { maac } from '../../lib/rl/algorithms/maac.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { mareinforce } from '../../lib/rl/algorithms/mareinforce.ts'
import { maremax } from '../../lib/rl/algorithms/maremax.ts'
import { marloo } from '../../lib/rl/algorithms/marloo.ts'
import { algorithmNames, algorithmOf } from '../../lib/rl/algorithms/registry.ts'

test('the defaults are those of the paper', (t) => {
  t.deepEqual(magrpo(), {
    name: 'magrpo',
    advantage: 'mean',
    groupSize: 4,
    jointMode: 'align',
    maxJointActions: 4096,
    scaleByStd: false,
    crossCredit: 'mean',
    equalRewardEps: 1e-6,
    turns: 1,
    discount: 1,
    terminationThreshold: 'task',
    ended: 'absorb',
    lengthNormalization: 'none',
    lengthConstant: null,
    maskTruncated: false,
    updatesPerRollout: 1,
    clip: null,
    kl: null,
    logProbs: 'sampler',
    entropyCoefficient: 0,
    critic: null,
  })
})

test('the variants differ by their baseline only', (t) => {
  const { name: _, advantage: __, ...rest } = magrpo({ groupSize: 8 })
  for (const [make, name, advantage] of [
    [mareinforce, 'mareinforce', 'raw'],
    [marloo, 'marloo', 'rloo'],
    [maremax, 'maremax', 'max'],
    [grpo, 'grpo', 'mean'],
  ] as const) {
    t.deepEqual(make({ groupSize: 8 }), { name, advantage, ...rest })
  }
})

test('everything out of range is named at once', (t) => {
  const error = t.throws(() => magrpo({ groupSize: 0, discount: 2, jointMode: 'crossed' as never }), {
    instanceOf: ConfigError,
  })
  t.deepEqual(
    error.issues.map(({ path }) => path),
    ['groupSize', 'jointMode', 'discount'],
  )
  t.is(error.issues[0]!.message, 'expected an integer from 1 up; received 0')
  const small = t.throws(() => magrpo({ groupSize: 1 }), { instanceOf: ConfigError })
  t.is(small.issues[0]!.message, 'expected an integer from 2 up; received 1')
})

test('a group of one is enough without a baseline', (t) => {
  t.is(mareinforce({ groupSize: 1 }).groupSize, 1)
})

test('critics: the defaults are those of the published code', (t) => {
  const { critic, groupSize, scaleByStd, advantage, clip } = iac()
  t.deepEqual(critic, {
    type: 'v',
    placement: 'separate',
    coefficient: 0.6,
    clip: null,
    hiddenSize: null,
    learningRate: null,
  })
  t.deepEqual(
    { groupSize, scaleByStd, advantage, clip },
    { groupSize: 1, scaleByStd: true, advantage: 'td', clip: null },
  )
  t.is(iac({ critic: { placement: 'shared' } }).critic!.clip, 0.2)
  t.is(iac({ critic: { placement: 'shared', clip: null } }).critic!.clip, null)
  t.is(maac({ critic: { type: 'q' } }).critic!.type, 'q')
})

test('several updates clip on both sides unless told otherwise; KL has the published defaults', (t) => {
  t.deepEqual(magrpo({ updatesPerRollout: 2 }).clip, { low: 0.2, high: 0.2 })
  t.deepEqual(magrpo({ updatesPerRollout: 2, clip: { low: 0.2, high: 0.28 } }).clip, { low: 0.2, high: 0.28 })
  t.is(magrpo({ updatesPerRollout: 2, clip: null }).clip, null)
  t.deepEqual(magrpo({ kl: {} }).kl, { estimator: 'k3', coefficient: 0.1, as: 'return' })
})

for (const [what, make, path, message] of [
  ['clip', () => magrpo({ clip: { low: 1, high: 0.2 } }), 'clip.low', /from 0 to below 1; received 1/],
  ['kl', () => magrpo({ kl: { estimator: 'k4' as never } }), 'kl.estimator', /unknown value "k4"; .*k1/],
  ['length', () => magrpo({ lengthConstant: 0 }), 'lengthConstant', /above 0; received 0/],
  ['updates', () => magrpo({ updatesPerRollout: 0 }), 'updatesPerRollout', /from 1 up; received 0/],
  ['entropy', () => magrpo({ entropyCoefficient: -1 }), 'entropyCoefficient', /from 0 up; received -1/],
  [
    'a tree for a critic',
    () => iac({ turns: 2, groupSize: 4 }),
    'groupSize',
    /expected 1 for iac with 2 turns .* received 4/,
  ],
  ['a shared central critic', () => maac({ critic: { placement: 'shared' } }), 'critic.placement', /expected separate/],
  [
    'a critic of magrpo',
    () => algorithmOf('magrpo', { critic: {} }),
    'critic',
    /magrpo has no critic; .* use iac or maac/,
  ],
  ['cross with a critic', () => algorithmOf('iac', { jointMode: 'cross' }), 'jointMode', /'align' by definition/],
  [
    'another baseline',
    () => algorithmOf('marloo', { advantage: 'max' }),
    'advantage',
    /'rloo' by definition, received "max"/,
  ],
  ['a critic as baseline', () => algorithmOf('magrpo', { advantage: 'td' }), 'advantage', /mean, raw, max, rloo/],
] as const) {
  test(`refused: ${what}`, (t) => {
    const { issues } = t.throws(make, { instanceOf: ConfigError })
    t.is(issues.length, 1)
    t.is(issues[0]!.path, path)
    t.regex(issues[0]!.message, message)
  })
}

test('by name, and from a configuration with everything resolved: the same algorithm', (t) => {
  for (const name of algorithmNames) {
    const algorithm = algorithmOf(name, { clip: { low: 0.1, high: 0.2 }, kl: { coefficient: 0.3 } })
    t.is(algorithm.name, name)
    const read = resolveConfig({
      team: { model: 'm' },
      task: 'story',
      optimizer: { learningRate: 1 },
      steps: 1,
      algorithm: JSON.parse(JSON.stringify(algorithm)),
    }).algorithm
    const { name: again, ...settings } = read
    t.deepEqual(algorithmOf(again, settings), algorithm)
  }
})
