import test from 'ava'
import { completionReturns, jointActions } from '../../lib/rl/rollout/joint.ts'

test('align: each completion gets the return of its own joint action', (t) => {
  const picks = jointActions('align', 3, 2)
  t.deepEqual(picks, [
    [0, 0, 0],
    [1, 1, 1],
  ])
  t.deepEqual(completionReturns(picks, [5, 7], 2, 2, 'mean'), [5, 7])
})

test('cross: worked numbers, summed as published and as a mean', (t) => {
  const picks = jointActions('cross', 2, 2)
  t.deepEqual(picks, [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ])
  const returns = [1, 2, 3, 4]
  t.deepEqual(completionReturns(picks, returns, 0, 2, 'sum'), [3, 7])
  t.deepEqual(completionReturns(picks, returns, 1, 2, 'sum'), [4, 6])
  t.deepEqual(completionReturns(picks, returns, 0, 2, 'mean'), [1.5, 3.5])
  t.deepEqual(completionReturns(picks, returns, 1, 2, 'mean'), [2, 3])
})

test('cross: three agents meet in G^3 joint actions', (t) => {
  const picks = jointActions('cross', 3, 3)
  t.is(picks.length, 27)
  t.is(new Set(picks.map(String)).size, 27)
})

test('one agent: both modes are the same', (t) => {
  t.deepEqual(jointActions('align', 1, 4), jointActions('cross', 1, 4))
})
