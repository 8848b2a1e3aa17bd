import test from 'ava'
import { ItemOrder, type ItemOrderSettings, stepsOfEpochs } from '../../lib/rl/rollout/item-order.ts'

const base: ItemOrderSettings = { items: 5, promptsPerStep: 2, seed: 1, shuffle: true, epochs: null }
const itemsOf = (order: ItemOrder, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => order.step(from + i).map(({ item }) => item)).flat()

test('every epoch holds each item once, in an order of its own', (t) => {
  const items = itemsOf(new ItemOrder(base), 1, 10)
  for (let epoch = 0; epoch < 4; epoch++) {
    t.deepEqual(items.slice(epoch * 5, epoch * 5 + 5).sort(), [0, 1, 2, 3, 4])
  }
  t.notDeepEqual(items.slice(0, 5), items.slice(5, 10))
})

test('a step depends on nothing but its number', (t) => {
  const walked = new ItemOrder(base)
  itemsOf(walked, 1, 30)
  t.deepEqual(walked.step(17), new ItemOrder(base).step(17))
  t.notDeepEqual(itemsOf(new ItemOrder(base), 1, 5), itemsOf(new ItemOrder({ ...base, seed: 2 }), 1, 5))
})

test('without shuffling items come as they are, slots count within the step', (t) => {
  const order = new ItemOrder({ ...base, shuffle: false })
  t.deepEqual(itemsOf(order, 1, 3), [0, 1, 2, 3, 4, 0])
  t.deepEqual(order.step(3), [
    { item: 4, slot: 0 },
    { item: 0, slot: 1 },
  ])
})

test('more items a step than there are', (t) => {
  const order = new ItemOrder({ ...base, items: 2, promptsPerStep: 7 })
  t.is(order.step(1).length, 7)
  t.deepEqual(
    order.step(1).map(({ slot }) => slot),
    [0, 1, 2, 3, 4, 5, 6],
  )
})

test('the last step of the epochs may be smaller', (t) => {
  t.is(stepsOfEpochs(5, 1, 2), 3)
  t.is(stepsOfEpochs(5, 0.4, 2), 1)
  t.deepEqual(itemsOf(new ItemOrder({ ...base, epochs: 1 }), 1, 3).sort(), [0, 1, 2, 3, 4])
})
