import test from 'ava'
import { grpo } from '../../lib/rl/algorithms/grpo.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { signalsOf } from '../../lib/rl/algorithms/signals.ts'
import type { EngineGroup } from '../../lib/rl/backend/engine.ts'
import { klOfCompletion, klOfToken } from '../../lib/rl/credit/kl.ts'
import { lengthDivisor, trainGroups } from '../../lib/rl/update/train-groups.ts'
import { isValueClipped, lossOf } from '../../lib/rl/update/update.ts'
import { handNode } from './support/hand-nodes.ts'
import { finiteDifferences } from './support/naive.ts'
import { TableEngine } from './support/table-engine.ts'

test('k1, k2, k3: worked numbers', (t) => {
  // π = 0.5, π_ref = 0.25: d = -ln 2.
  const [logProb, reference] = [Math.log(0.5), Math.log(0.25)]
  t.true(Math.abs(klOfToken('k1', logProb, reference) - Math.LN2) < 1e-12)
  t.true(Math.abs(klOfToken('k2', logProb, reference) - Math.LN2 ** 2 / 2) < 1e-12)
  t.true(Math.abs(klOfToken('k3', logProb, reference) - (0.5 - 1 + Math.LN2)) < 1e-12)
  for (const estimator of ['k1', 'k2', 'k3'] as const) t.is(klOfToken(estimator, -1.5, -1.5) + 0, 0)
  t.true(Math.abs(klOfCompletion('k1', Float32Array.of(-1, -2), Float32Array.of(-1.5, -4)) - 2.5) < 1e-6)
})

test('k1 and k3 are unbiased: their expectation is the KL; k2 is close for near policies', (t) => {
  const [p, q] = [
    [0.5, 0.3, 0.2],
    [0.4, 0.4, 0.2],
  ]
  const kl = p!.reduce((sum, own, i) => sum + own * Math.log(own / q![i]!), 0)
  const expectation = (estimator: 'k1' | 'k2' | 'k3') =>
    p!.reduce((sum, own, i) => sum + own * klOfToken(estimator, Math.log(own), Math.log(q![i]!)), 0)
  t.true(Math.abs(expectation('k1') - kl) < 1e-12)
  t.true(Math.abs(expectation('k3') - kl) < 1e-12)
  t.true(Math.abs(expectation('k2') / kl - 1) < 0.1)
})

/** The objective of `LossOptions`, in plain words. */
function objective(engine: TableEngine, group: EngineGroup, loss: NonNullable<ReturnType<typeof lossOf>>): number {
  let total = 0
  for (const { ids, weights, oldLogProbs, referenceLogProbs, penaltyWeights } of group.completions) {
    for (const [position, id] of ids.entries()) {
      const { probabilities } = engine.row(group.policy, group.promptIds[0]!, position)
      const [w, u] = [weights![position]!, penaltyWeights![position]!]
      const logProb = Math.log(probabilities[id]!)
      if (loss.clip) {
        const ratio = Math.exp(logProb - oldLogProbs![position]!)
        const clamped = Math.min(Math.max(ratio, 1 - loss.clip.low), 1 + loss.clip.high)
        total += Math.min(ratio * w, clamped * w)
      } else total += w * logProb
      if (loss.kl)
        total -= u * loss.kl.coefficient * klOfToken(loss.kl.estimator, logProb, referenceLogProbs![position]!)
      total -= u * (loss.entropyCoefficient ?? 0) * probabilities.reduce((sum, p) => sum + p * Math.log(p), 0)
    }
  }
  return total
}

for (const [what, options] of Object.entries({
  'asymmetric clip': { clip: { low: 0.1, high: 0.4 } },
  k1: { kl: { estimator: 'k1', coefficient: 0.7, as: 'loss' } },
  k2: { kl: { estimator: 'k2', coefficient: 0.7, as: 'loss' } },
  k3: { kl: { estimator: 'k3', coefficient: 0.7, as: 'loss' } },
  entropy: { entropyCoefficient: 0.3 },
  all: {
    clip: { low: 0.2, high: 0.25 },
    kl: { estimator: 'k3', coefficient: 0.2, as: 'loss' },
    entropyCoefficient: 0.1,
  },
} as const)) {
  test(`${what}: the table's gradient is that of finite differences`, async (t) => {
    const engine = new TableEngine(1, { prompts: 1, positions: 4, tokens: 3 })
    for (const i of engine.logits[0]!.keys()) engine.logits[0]![i] = Math.sin(3 * i)
    const own = (position: number, id: number) => Math.log(engine.row(0, 0, position).probabilities[id]!)
    // Ratios of 0.6, 0.95, 1.2, 1.6 with weights of both signs: each side of each bound is met.
    const ratios = [0.6, 0.95, 1.2, 1.6]
    const completions = [1, -1].map((sign) => {
      const ids = Int32Array.of(0, 2, 1, 0)
      return {
        ids,
        weights: Float32Array.of(0.5, 1, 1.5, 2).map((value) => sign * value),
        oldLogProbs: Float32Array.from(ids, (id, i) => own(i, id) - Math.log(ratios[i]!)),
        referenceLogProbs: Float32Array.from(ids, (id, i) => own(i, id) + 0.3 * (i - 1.5)),
        penaltyWeights: Float32Array.of(0.2, 0.4, 0.6, 0.8),
      }
    })
    const group: EngineGroup = { policy: 0, promptIds: Int32Array.of(0), completions }
    const loss = lossOf(magrpo(options))!
    await engine.accumulate([group], { loss })
    const expected = finiteDifferences(engine.logits[0]!, () => objective(engine, group, loss))
    t.true(Math.hypot(...expected) > 0.05)
    for (const [i, slope] of expected.entries()) t.true(Math.abs(engine.gradients[0]![i]! - slope) < 1e-6, `logit ${i}`)
  })
}

test('nothing but weights: no options of the loss at all', (t) => {
  t.is(lossOf(magrpo()), undefined)
  t.is(lossOf(magrpo({ kl: { as: 'return' } })), undefined)
  t.deepEqual(lossOf(magrpo({ updatesPerRollout: 2 })), { clip: { low: 0.2, high: 0.2 }, entropyCoefficient: 0 })
})

test('length: none, mean, the token limit, a constant', (t) => {
  t.is(lengthDivisor(5, magrpo(), 64), 1)
  t.is(lengthDivisor(5, magrpo({ lengthNormalization: 'mean' }), 64), 5)
  t.is(lengthDivisor(5, magrpo({ lengthNormalization: 'constant' }), 64), 64)
  t.is(lengthDivisor(5, magrpo({ lengthNormalization: 'constant', lengthConstant: 10 }), 64), 10)
})

test('truncated completions are in neither the sum nor the divisor, but in the baseline', (t) => {
  const [yes, no] = [true, false]
  const nodes = [
    handNode({ agents: 1, groupSize: 3, rewards: [0, 3, 6], truncated: [[no, no, yes]] }),
    handNode({ agents: 1, groupSize: 3, rewards: [1, 1, 4], truncated: [[yes, yes, yes]] }),
  ]
  const algorithm = grpo({ groupSize: 3, maskTruncated: true, entropyCoefficient: 0.1 })
  const groups = trainGroups(signalsOf(nodes, algorithm), { policies: [0], algorithm, maxNewTokens: 4 })
  t.is(groups.length, 1)
  // Mean 3, so -3, 0 and 3; two of six are kept.
  t.deepEqual(
    groups[0]!.group.completions.map(({ weights }) => weights![0]),
    [-1.5, 0],
  )
  t.deepEqual(
    groups[0]!.group.completions.map(({ penaltyWeights }) => penaltyWeights![0]),
    [0.5, 0.5],
  )
})

test('equal rewards still feel penalties', (t) => {
  const nodes = [handNode({ agents: 1, rewards: [1, 1] })]
  const algorithm = grpo({ groupSize: 2, entropyCoefficient: 0.1 })
  const groups = trainGroups(signalsOf(nodes, algorithm), { policies: [0], algorithm, maxNewTokens: 4 })
  t.is(groups[0]!.group.completions.length, 2)
})

test('value clipping: flat where the value moved past the range towards its target', (t) => {
  // Within the range the loss is the plain one.
  t.false(isValueClipped(0.1, 0, 1, 0.2))
  // Beyond it, towards the target: the clipped error is the larger one, and constant.
  t.true(isValueClipped(0.5, 0, 1, 0.2))
  // Beyond it, away from the target: the plain error is the larger one, and pulls back.
  t.false(isValueClipped(-0.5, 0, 1, 0.2))
  // The value overshot the target by more than the clipped one misses it.
  t.false(isValueClipped(3, 0, 1, 0.2))
})
