/** Joint completions by the names of the agents, and what a reward that throws leaves of its error. */
import test from 'ava'
import { expectTypeOf } from 'expect-type'
import { defineTask } from '../../lib/index.ts'
import { runRewards } from '../../lib/rl/rollout/reward-queue.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'

const said = (text: string): Completion => ({ text, ids: Int32Array.of(1), finish: 'stop', logProbSum: 0 })
const context = { signal: new AbortController().signal }
const parts = { name: 'toy', items: [{ topic: 'rain' }], observe: () => 'x' }

test('joint.NAME is what the agent of this name wrote, and typed by the names', (t) => {
  const task = defineTask({
    ...parts,
    agents: ['helper', 'main'],
    reward: (item, joint) => {
      expectTypeOf(item).toEqualTypeOf<{ topic: string }>()
      expectTypeOf(joint.helper).toEqualTypeOf<Completion>()
      expectTypeOf(joint[0]).toEqualTypeOf<Completion | undefined>()
      expectTypeOf(joint).not.toHaveProperty('mian')
      return joint.helper.text === joint[0]!.text && joint.main.text === joint[1]!.text ? 1 : 0
    },
    metrics: (_, joint) => ({ length: joint.main.text.length }),
  })
  const joint = [said('a'), said('bcd')]
  t.is(task.reward({ topic: 'rain' }, joint, context), 1)
  t.deepEqual(task.metrics?.({ topic: 'rain' }, joint), { length: 3 })
  t.deepEqual(Object.keys(joint), ['0', '1'], 'names are no part of what is listed')
})

test('a name that lists have a member of, or a number, is reached by the index alone', (t) => {
  const task = defineTask({
    ...parts,
    agents: ['map', '0', 'other'],
    reward: (_, joint) => {
      expectTypeOf(joint.map).toBeFunction()
      return joint.map(({ text }) => text).join('') === 'abc' && joint[0]!.text === 'a' && joint.other.text === 'c'
        ? 1
        : 0
    },
  })
  t.is(task.reward({ topic: 'rain' }, [said('a'), said('b'), said('c')], context), 1)
})

test('the error of a reward that throws keeps its type and its line', async (t) => {
  const task = defineTask({
    ...parts,
    agents: ['a'],
    reward: () => {
      const missing = undefined as unknown as { text: string }
      return missing.text.length
    },
  })
  const job = { item: parts.items[0]!, index: 0, joint: [said('a')] }
  const error = await t.throwsAsync(runRewards(task as never, [job], { concurrency: 1, timeoutMs: null }))
  t.regex(error.message, /threw for item 0: TypeError: Cannot read .* \(at .*joint\.test\.ts:\d+:\d+\)$/)
  t.true(error.cause instanceof TypeError)
})
