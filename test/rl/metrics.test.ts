import test from 'ava'
import { itemRewards } from '../../lib/rl/report/episodes.ts'
import { gradientMetrics, rewardMetrics } from '../../lib/rl/report/metrics.ts'
import type { JointAction, RolloutNode } from '../../lib/rl/rollout/tree.ts'

const action = (reward: number, parts = {}, metrics = {}): JointAction => ({
  picks: [],
  reward,
  parts,
  metrics,
  child: null,
})
const node = (turn: number, joints: JointAction[]) => ({ turn, joints }) as unknown as RolloutNode
const before = (reward: number, child: RolloutNode): JointAction => ({ ...action(reward), child })

test('rewards: mean and deviation of all, deviation within nodes, parts and task metrics where they are', (t) => {
  const metrics = rewardMetrics([
    node(0, [action(0, { style: 1 }, { calls: 4 }), action(2)]),
    node(0, [action(3, { style: 0 }, { calls: NaN }), action(3)]),
  ])
  t.deepEqual(metrics, {
    'reward/mean': 2,
    'reward/std': Math.sqrt(1.5),
    'reward/group_std': 0.5,
    'reward/abstained_share': 0,
    'reward/style': 0.5,
    'task/calls': 4,
  })
})

test('several turns have a mean each', (t) => {
  const [first, second] = [node(1, [action(4)]), node(1, [action(6)])]
  const metrics = rewardMetrics([node(0, [before(0, first), before(2, second)]), first, second])
  t.is(metrics['reward/turn_1/mean'], 1)
  t.is(metrics['reward/turn_2/mean'], 5)
  t.is(metrics['reward/mean'], 3)
})

test('an item that went on counts no more than one that was solved, nor does an episode', (t) => {
  // Solved: 4 and 4. Went on: one episode ends with 4, the other has 0 and then the mean of 1 and 3.
  const solved = node(0, [action(4, { tests: 1 }), action(4, { tests: 1 })])
  const later = node(1, [action(1, { tests: 0 }), action(3, { tests: 0 })])
  const open = node(0, [action(4, { tests: 1 }), { ...before(0, later), parts: { tests: 0 } }])
  const nodes = [solved, open, later]
  t.deepEqual(itemRewards(nodes), [4, 2.5])
  const metrics = rewardMetrics(nodes)
  t.is(metrics['reward/mean'], 3.25)
  t.is(metrics['reward/tests'], 0.75)
  t.is(metrics['reward/turn_1/mean'], 3)
  t.is(metrics['reward/turn_2/mean'], 2)
  // Shares of 1/2 for each 4, of 1/4 for the 0, and of 1/8 for the 1 and the 3.
  const variance = (3 * 0.5 * 0.75 ** 2 + 0.25 * 3.25 ** 2 + 0.125 * (2.25 ** 2 + 0.25 ** 2)) / 2
  t.is(metrics['reward/std'], Math.sqrt(variance))
})

test('gradient norms: over all policies and by agent; no number for one that was not finite', (t) => {
  const results = new Map([
    [0, { gradNorm: 3, skipped: false }],
    [1, { gradNorm: 4, skipped: false }],
    [2, { gradNorm: NaN, skipped: true }],
  ])
  t.deepEqual(gradientMetrics(results, ['a', 'b', 'c', 'd', 'e'], [0, 1, 2, 3, null]), {
    'train/grad_norm': 5,
    'train/grad_norm/a': 3,
    'train/grad_norm/b': 4,
    'train/grad_norm/d': 0,
  })
})
