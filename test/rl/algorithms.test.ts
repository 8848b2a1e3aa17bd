import test from 'ava'
import { ConfigError } from '../../lib/errors.ts'
import { grpo, magrpo, mareinforce, maremax, marloo } from '../../lib/rl/algorithms.ts'

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
    lengthNormalization: 'none',
    lengthConstant: null,
    maskTruncated: false,
    updatesPerRollout: 1,
    clip: null,
    kl: null,
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
  const error = t.throws(() => magrpo({ groupSize: 1, discount: 2, jointMode: 'crossed' as never }), {
    instanceOf: ConfigError,
  })
  t.deepEqual(
    error.issues.map(({ path }) => path),
    ['groupSize', 'jointMode', 'discount'],
  )
  t.is(error.issues[0]!.message, 'expected an integer from 2 up, received 1')
})

test('a group of one is enough without a baseline', (t) => {
  t.is(mareinforce({ groupSize: 1 }).groupSize, 1)
})
