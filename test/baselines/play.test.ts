import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { playWith } from '../../lib/compare/play-baseline.ts'
import { singleTask } from '../../lib/tasks/baselines/single-task.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import type { Task } from '../../lib/tasks/task/types.ts'
import { rejectsWith } from '../support/errors.ts'
import { TextEngine } from './support/text-engine.ts'

interface Topic {
  topic: string
}

/** Reward: number of agents whose text names the topic. */
function poemTask(changes: Partial<Task<Topic>> = {}): Task<Topic> {
  return defineTask<Topic>({
    name: 'poem',
    agents: ['first', 'second'],
    items: [{ topic: 'rain' }],
    heldOut: [{ topic: 'sun' }, { topic: 'moon' }, { topic: 'sea' }],
    observe: ({ topic }, agent) => `${agent}:${topic}`,
    reward: ({ topic }, joint) => {
      const named = joint.map(({ text }) => Number(text.includes(topic)))
      return { total: named[0]! + named[1]!, parts: { first: named[0]!, second: named[1]! } }
    },
    metrics: (_, joint) => ({ texts: joint.length }),
    baselines: {
      single: {
        agent: 'first',
        budget: 2,
        prompt: ({ topic }) => `both:${topic}`,
        split: (text) => (text.includes('|') ? text.split('|') : null),
        cut: (text, random) => [text.slice(0, 1), `${text.slice(1)} ${random >= 0 && random < 1}`],
      },
      pipeline: ({ topic }, agent, earlier) => [`p${agent}:${topic}`, ...earlier.map(({ text }) => text)].join('<'),
      discussion: ({ topic }, agent, others) => `d${agent}:${topic}<${others.map(({ text }) => text).join('+')}`,
    },
    defaults: { maxNewTokens: 10 },
    ...changes,
  })
}

/** Repeats the prompt: tests then see who was shown what. */
const echo = () => new TextEngine(({ policy, prompt, stream }) => `${policy}#${stream.sample}(${prompt})`)

test('parallel: the prompts of the team, everybody in one batch', async (t) => {
  const engine = echo()
  const played = await playWith(engine.players(2), { task: poemTask(), baseline: 'parallel', samples: 2 })
  t.is(engine.calls.length, 1)
  t.deepEqual(
    played.map(({ item, sample, joint }) => [item, sample, ...joint.map(({ text }) => text)]),
    ['sun', 'moon', 'sea'].flatMap((topic, item) =>
      [0, 1].map((sample) => [item, sample, `0#${sample}(0:${topic})`, `1#${sample}(1:${topic})`]),
    ),
  )
  t.deepEqual(played[0]!.parts, { first: 1, second: 1 })
  t.deepEqual([played[0]!.reward, played[0]!.metrics, played[0]!.isDivided], [2, { texts: 2 }, true])
  t.true(engine.calls[0]!.every(({ stream }) => stream.step === 0 && stream.seed === 0))
})

test('pipeline: the second is shown what the first wrote, in a call of its own', async (t) => {
  const engine = echo()
  const [play] = await playWith(engine.players(2), {
    task: poemTask(),
    baseline: 'pipeline',
    items: [{ topic: 'fog' }],
  })
  t.deepEqual(
    engine.calls.map((requests) => requests.map(({ policy }) => policy)),
    [[0], [1]],
  )
  t.is(play!.joint[0]!.text, '0#0(p0:fog)')
  t.is(play!.joint[1]!.text, '1#1(p1:fog<0#0(p0:fog))')
})

test('a pipeline of three: each sees all before it', async (t) => {
  const task = poemTask({ agents: ['a', 'b', 'c'], reward: () => 0 })
  const [play] = await playWith(echo().players(3), { task, baseline: 'pipeline', items: [{ topic: 'x' }] })
  t.is(play!.utterances[2]!.prompt, 'p2:x<0#0(p0:x)<1#1(p1:x<0#0(p0:x))')
})

test("discussion: each is shown the other's first text, not its own, and only second texts are scored", async (t) => {
  const engine = echo()
  const settings = { task: poemTask(), baseline: 'discussion', samples: 3, seed: 4, items: [{ topic: 'fog' }] } as const
  const played = await playWith(engine.players(2), settings)
  t.deepEqual(
    engine.calls.map(({ length }) => length),
    [6, 6],
  )
  const { utterances, joint } = played[1]!
  t.deepEqual(
    utterances.map(({ round, name, prompt }) => `${round} ${name} ${prompt}`),
    ['0 first 0:fog', '0 second 1:fog', '1 first d0:fog<1#1(1:fog)', '1 second d1:fog<0#1(0:fog)'],
  )
  t.deepEqual(
    joint.map(({ text }) => text),
    ['0#4(d0:fog<1#1(1:fog))', '1#4(d1:fog<0#1(0:fog))'],
  )
  const streams = engine.calls.flat().map(({ stream }) => JSON.stringify(stream))
  t.is(new Set(streams).size, streams.length, 'no two answers share random numbers')
  t.true(streams.every((stream) => stream.includes('"seed":4')))
})

test('single: one call for everything, with strict and fallback scores', async (t) => {
  const engine = new TextEngine(({ prompt }) => (prompt.endsWith('sun') ? 'the sun|the sun too' : 'no moon here'))
  const items = [{ topic: 'sun' }, { topic: 'moon' }]
  const played = await playWith(engine.players(1), { task: poemTask(), baseline: 'single', items })
  t.is(engine.samplings[0]!.maxNewTokens, 20)
  const [divided, whole] = played
  t.deepEqual([divided!.isDivided, divided!.reward, divided!.cut!.reward], [true, 2, 2])
  t.deepEqual([whole!.isDivided, whole!.reward, whole!.cut!.reward], [false, 1, 1])
  t.deepEqual(
    whole!.joint.map(({ text }) => text),
    ['no moon here', ''],
  )
  t.deepEqual(
    whole!.cut!.joint.map(({ text }) => text),
    ['n', 'o moon here true'],
  )
  t.deepEqual(
    divided!.utterances.map(({ name, prompt }) => `${name} ${prompt}`),
    ['first both:sun'],
  )
})

test('batches change nothing but the number of calls', async (t) => {
  const settings = { task: poemTask(), baseline: 'discussion', samples: 2 } as const
  const progress: string[] = []
  const whole = await playWith(echo().players(2), settings)
  const engine = echo()
  const onProgress = (done: number, total: number) => progress.push(`${done}/${total}`)
  t.deepEqual(await playWith(engine.players(2), { ...settings, maxRows: 8, onProgress }), whole)
  t.is(engine.calls.length, 4)
  t.deepEqual(progress, ['2/3', '3/3'])
})

test('prompts become messages where the task shows its agents messages', async (t) => {
  const task = poemTask({ observe: ({ topic }) => [{ role: 'user', content: topic }] })
  const engine = new TextEngine(({ isChat }) => String(isChat))
  const [play] = await playWith(engine.players(2), { task, baseline: 'pipeline', items: [{ topic: 'x' }] })
  t.deepEqual(
    play!.joint.map(({ text }) => text),
    ['true', 'true'],
  )
})

test('a task without prompts, or a team of another size, is an error that says what to do', async (t) => {
  const bare = poemTask({ baselines: {} })
  const play = (task: Task<Topic>, baseline: 'single' | 'parallel', players: number) =>
    playWith(echo().players(players), { task, baseline })
  await rejectsWith(t, () => play(bare, 'single', 1), 'ERR_TASK', "'poem'", 'single', 'parallel only')
  const error = await rejectsWith(t, () => play(poemTask(), 'single', 2), 'ERR_CONFIG', 'expected 1', 'received 2')
  t.true(error instanceof ConfigError)
})

test('an abort ends a play between batches', async (t) => {
  const controller = new AbortController()
  const onProgress = () => controller.abort(new Error('enough'))
  const settings = {
    task: poemTask(),
    baseline: 'parallel',
    maxRows: 2,
    onProgress,
    signal: controller.signal,
  } as const
  const engine = echo()
  await t.throwsAsync(() => playWith(engine.players(2), settings), { message: 'enough' })
  t.is(engine.calls.length, 1)
})

test('the task of the single model: one agent, the same reward on the parts', async (t) => {
  const context = { signal: new AbortController().signal }
  const completion = (text: string) => [{ text, ids: new Int32Array(1), finish: 'stop' as const, logProbSum: -1 }]
  const single = singleTask(poemTask())
  t.deepEqual(single.agents, ['first'])
  t.is(single.observe({ topic: 'sun' }, 0, []), 'both:sun')
  t.is(single.defaults!.maxNewTokens, 20)
  const reward = async (task: Task<Topic>, text: string) =>
    ((await task.reward({ topic: 'sun' }, completion(text), context)) as { total: number }).total
  t.is(await reward(single, 'a sun|a sun'), 2)
  t.is(await reward(single, 'a sun, a sun'), 1)
  t.deepEqual(single.metrics!({ topic: 'sun' }, completion('a sun')), { divided: 0, texts: 2 })
  const cut = singleTask(poemTask(), { missingDelimiter: 'cut' })
  t.is(await reward(cut, 'a sun, a sun'), 1)
  t.is(await reward(cut, 'sun'), 0, 'the cut goes through the word')
  const { cut: _, ...uncut } = poemTask().baselines!.single!
  t.throws(() => singleTask(poemTask({ baselines: { single: uncut } }), { missingDelimiter: 'cut' }), {
    message: /missingDelimiter: task 'poem' has no way to cut/,
  })
})
