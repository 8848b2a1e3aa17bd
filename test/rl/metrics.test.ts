import test from 'ava'
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
  const metrics = rewardMetrics([node(0, [action(0), action(2)]), node(1, [action(4), action(6)])])
  t.is(metrics['reward/turn_1/mean'], 1)
  t.is(metrics['reward/turn_2/mean'], 5)
  t.is(metrics['reward/mean'], 3)
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
