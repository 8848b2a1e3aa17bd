import test from 'ava'
import { type RewardedNode, treeReturns } from '../../lib/rl/credit/returns.ts'

const leaf = (turn: number, ...rewards: number[]): RewardedNode => ({
  turn,
  joints: rewards.map((reward) => ({ reward, child: null })),
})
const settings = (discount: number, turns: number, ended: 'absorb' | 'stop' = 'stop') => ({ discount, turns, ended })

test('worked numbers: two turns', (t) => {
  const first = leaf(1, 2, 4)
  const second = leaf(1, 0, 2)
  const root: RewardedNode = {
    turn: 0,
    joints: [
      { reward: 1, child: first },
      { reward: 2, child: second },
    ],
  }
  t.deepEqual(treeReturns([root], settings(0.5, 2)).get(root), [2.5, 2.5])
  t.deepEqual(treeReturns([root], settings(1, 2)).get(root), [4, 3])
  const all = treeReturns([first, root, second], settings(1, 2))
  t.deepEqual(all.get(first), [2, 4])
  t.deepEqual(all.get(root), [4, 3])
})

test('three turns, one branch ending early', (t) => {
  const deep = leaf(2, 8, 0)
  const middle: RewardedNode = {
    turn: 1,
    joints: [
      { reward: 1, child: deep },
      { reward: 3, child: null },
    ],
  }
  const root: RewardedNode = {
    turn: 0,
    joints: [
      { reward: 10, child: null },
      { reward: 0, child: middle },
    ],
  }
  // deep: mean 4; middle: 1 + 4/2 = 3 and 3, mean 3; root: 10 and 0 + 3/2.
  t.deepEqual(treeReturns([root], settings(0.5, 3)).get(root), [10, 1.5])
})

test('worked numbers: an ended branch absorbs its last reward, turn by turn', (t) => {
  const middle: RewardedNode = {
    turn: 1,
    joints: [
      { reward: 1, child: leaf(2, 8, 0) },
      { reward: 3, child: null },
    ],
  }
  const root: RewardedNode = {
    turn: 0,
    joints: [
      { reward: 10, child: null },
      { reward: 0, child: middle },
    ],
  }
  // middle: 1 + 4/2 = 3 and 3 + 3/2 = 4.5, mean 3.75; root: 10 + 5 + 2.5 and 0 + 3.75/2.
  t.deepEqual(treeReturns([root, middle], settings(0.5, 3, 'absorb')).get(root), [17.5, 1.875])
  t.deepEqual(treeReturns([root, middle], settings(1, 3, 'absorb')).get(middle), [5, 6])
  t.deepEqual(treeReturns([root], settings(1, 1, 'absorb')).get(root)![0], 10, 'the last turn has nothing left')
})

test('solved and ended is worth more than failed and gone on, unless ended is stop', (t) => {
  const root: RewardedNode = {
    turn: 0,
    joints: [
      { reward: 4, child: null },
      { reward: 3, child: leaf(1, 3, 3) },
    ],
  }
  t.deepEqual(treeReturns([root], settings(1, 2, 'stop')).get(root), [4, 6])
  t.deepEqual(treeReturns([root], settings(1, 2, 'absorb')).get(root), [8, 6])
})
