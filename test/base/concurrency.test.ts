import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { inOrder, mapConcurrently } from '../../lib/base/concurrency.ts'

async function* numbers(count: number) {
  for (let number = 0; number < count; number++) yield number
}

test('results keep the order of the inputs, and no more than the limit run at once', async (t) => {
  let running = 0
  let most = 0
  const results: number[] = []
  const delayed = async (number: number) => {
    running++
    most = Math.max(most, running)
    await sleep(number % 3 === 0 ? 20 : 1)
    running--
    return number * 10
  }
  for await (const result of inOrder(numbers(12), 4, delayed)) results.push(result)
  t.deepEqual(results, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110])
  t.is(most, 4)
})

test('a result is given while the source still waits for more input', async (t) => {
  let letGo = () => {}
  const later = new Promise<void>((resolve) => {
    letGo = resolve
  })
  async function* source() {
    yield 1
    await later
    yield 2
  }
  const results = inOrder(source(), 4, async (number) => number)
  t.is((await results.next()).value, 1)
  letGo()
  t.is((await results.next()).value, 2)
  t.true((await results.next()).done)
})

test('a failure comes in its place, and the failure of the source after all results', async (t) => {
  const seen: number[] = []
  const failing = async (number: number) => {
    if (number === 2) throw new Error('two')
    return number
  }
  const run = async (source: AsyncIterable<number>) => {
    for await (const result of inOrder(source, 3, failing)) seen.push(result)
  }
  await t.throwsAsync(run(numbers(9)), { message: 'two' })
  t.deepEqual(seen, [0, 1])
  async function* broken() {
    yield 5
    throw new Error('source')
  }
  await t.throwsAsync(run(broken()), { message: 'source' })
  t.deepEqual(seen, [0, 1, 5])
})

test('mapConcurrently keeps the order and the limit', async (t) => {
  let [underWay, most] = [0, 0]
  const results = await mapConcurrently([3, 1, 2, 0], 2, async (value) => {
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setTimeout(resolve, value))
    underWay--
    return 10 * value
  })
  t.deepEqual(results, [30, 10, 20, 0])
  t.is(most, 2)
})
