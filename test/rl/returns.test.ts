import test from 'ava'
import { type RewardedNode, treeReturns } from '../../lib/rl/credit/returns.ts'

const leaf = (...rewards: number[]): RewardedNode => ({ joints: rewards.map((reward) => ({ reward, child: null })) })

test('worked numbers: two turns', (t) => {
  const first = leaf(2, 4)
  const second = leaf(0, 2)
  const root: RewardedNode = {
    joints: [
      { reward: 1, child: first },
      { reward: 2, child: second },
    ],
  }
  t.deepEqual(treeReturns([root], 0.5).get(root), [2.5, 2.5])
  t.deepEqual(treeReturns([root], 1).get(root), [4, 3])
  const all = treeReturns([first, root, second], 1)
  t.deepEqual(all.get(first), [2, 4])
  t.deepEqual(all.get(root), [4, 3])
})

test('three turns, one branch ending early', (t) => {
  const deep = leaf(8, 0)
  const middle: RewardedNode = {
    joints: [
      { reward: 1, child: deep },
      { reward: 3, child: null },
    ],
  }
  const root: RewardedNode = {
    joints: [
      { reward: 10, child: null },
      { reward: 0, child: middle },
    ],
  }
  // deep: mean 4; middle: 1 + 4/2 = 3 and 3, mean 3; root: 10 and 0 + 3/2.
  t.deepEqual(treeReturns([root], 0.5).get(root), [10, 1.5])
})
