import test from 'ava'
import { makeInputs, models, randomNumbers, updateOperations } from '../../bench/cases.ts'
import { compareOutputs, relativeDifference } from '../../bench/gate.ts'

const outputs = (tokens: number[], logProbs: number[]) => ({ tokens: [tokens], logProbs: [[logProbs]] })

test('equal outputs pass', (t) => {
  const report = compareOutputs(outputs([1, 2], [-1, -2]), outputs([1, 2], [-1.00005, -2]))
  t.deepEqual(report.failures, [])
  t.is(report.tokens, 2)
  t.true(Math.abs(report.differences.logProbs! - 5e-5) < 1e-9)
})

test('other tokens, other log-probabilities and missing ones do not', (t) => {
  t.deepEqual(compareOutputs(outputs([1, 3], [-1]), outputs([1, 2], [-1])).failures, [
    'greedy tokens of agent 0 differ from token 1 on (3 and 2)',
  ])
  t.is(compareOutputs(outputs([1, 2, 3], [-1]), outputs([1, 2], [-1])).failures.length, 1)
  t.is(compareOutputs(outputs([1], [-1]), outputs([1], [-1.001])).failures.length, 1)
  t.is(compareOutputs(outputs([1], [-1]), outputs([1], [-1, -1])).failures.length, 1)
  t.is(compareOutputs(outputs([1], [Number.NaN]), outputs([1], [-1])).failures.length, 1)
})

test('tensors are compared by the norm of their difference', (t) => {
  t.is(relativeDifference(Float32Array.of(-3, -4), Float32Array.of(3, 4), -1), 0)
  t.true(Math.abs(relativeDifference(Float32Array.of(3, 5), Float32Array.of(3, 4)) - 0.2) < 1e-6)
  t.is(relativeDifference(Float32Array.of(1), Float32Array.of(1, 2)), Number.NaN)
})

test('inputs are the same each time, within the vocabulary, and advantages are normalised', (t) => {
  const inputs = makeInputs(100, 16)
  t.deepEqual(inputs, makeInputs(100, 16))
  t.true([...inputs.promptIds, ...inputs.completions.flat()].every((id) => id >= 3 && id < 100))
  t.true(Math.abs(inputs.advantages.reduce((sum, value) => sum + value, 0)) < 1e-9)
  const random = randomNumbers(7)
  t.notDeepEqual(random(), random())
})

test('operations of an update are about six a parameter and token, without the tokens of the embedding', (t) => {
  const shape = models.m30!
  const { layers, hidden, heads, kvHeads, headDim, mlp, vocab } = shape
  const inLayers = layers * (hidden * headDim * (2 * heads + 2 * kvHeads) + 3 * hidden * mlp)
  const products = 6 * (inLayers * 640 + hidden * vocab * 512)
  const operations = updateOperations(shape, 128, 8, 64)
  t.true(operations > products && operations < 1.1 * products)
})
