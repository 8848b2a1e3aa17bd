import test from 'ava'
import type { ResolvedTrainOptions } from '../../lib/rl/types/options.ts'
import type { EvalReport, SampleRow, StepReport } from '../../lib/rl/types/reports.ts'
import type { RunEnd } from '../../lib/rl/types/sink.ts'
import { paintAlways, paintNever } from '../../lib/ui/style.ts'
import { sampleTable } from '../../lib/ui/training-lines.ts'
import { TrainingView, viewMode } from '../../lib/ui/training-view.ts'
import { displayWidth } from '../../lib/ui/width.ts'
import { Screen } from '../support/screen.ts'

const start = { steps: 20, task: { agents: ['short', 'long'] } } as unknown as ResolvedTrainOptions

function step(index: number, reward: number, samples: SampleRow[] = []): StepReport {
  return {
    index,
    metrics: {
      'reward/mean': reward,
      'reward/std': 0.25,
      'reward/structure': 0.5,
      'reward/zero_variance_share': 0.25,
      'completion/length_mean/short': 34,
      'completion/length_mean/long': 1210,
      'completion/truncated_share': 0.031,
      'policy/entropy': 1.5,
      'train/grad_norm': 0.125,
      'train/learning_rate': 5e-6,
    },
    timings: {
      'time/generate_s': 1.234,
      'time/reward_s': 0.01,
      'time/update_s': 12.4,
      'time/generate_tokens_per_s': 2345,
      'time/update_tokens_per_s': 999,
      'memory/rss_bytes': 300 * 2 ** 20,
    },
    samples,
    warnings: [],
  }
}

const evaluation: EvalReport = {
  index: 0,
  score: 1.25,
  metrics: { 'eval/reward/mean': 1.25, 'eval/reward/stderr': 0.05, 'eval/greedy/reward/mean': 1 },
  timings: {},
  samples: [],
}

const row: SampleRow = {
  step: 3,
  phase: 'train',
  item: 7,
  slot: 0,
  turn: 0,
  node: 0,
  joint: 0,
  reward: 1.5,
  parts: { structure: 0.5, length_ratio: 1 },
  metrics: {},
  return: 1.5,
  agents: [
    {
      name: 'short',
      prompt: 'Once upon a time',
      completion: ' there was\na dog.',
      tokens: 5,
      finish: 'stop',
      logProbSum: -3,
      sample: 0,
      advantage: 0.5,
    },
    {
      name: 'long',
      prompt: 'Once upon a time',
      completion: 'x'.repeat(70),
      tokens: 70,
      finish: 'length',
      logProbSum: -3,
      sample: 0,
      advantage: -0.25,
    },
  ],
}

const end: RunEnd = { reason: 'finished', steps: 20, seconds: 125, best: evaluation, last: evaluation }

function view(mode: 'live' | 'plain' | 'quiet', columns = 81) {
  const screen = new Screen(columns)
  let now = 0
  const shown = new TrainingView({
    stream: screen,
    mode,
    paint: paintNever,
    name: 'story',
    now: () => now,
    sampleEvery: 0,
  })
  const wait = (ms: number) => {
    now += ms
  }
  return { screen, shown, wait }
}

test('the live block is drawn in place, below what stays', (t) => {
  const { screen, shown, wait } = view('live')
  shown.onStart(start)
  t.deepEqual(screen.lines, [
    'story  step 0/20  ······························  0 s',
    'reward    waiting for the first step',
  ])
  shown.onEval(evaluation)
  wait(10_000)
  shown.onStep(step(1, 0.5))
  shown.onStep(step(2, 1))
  shown.onWarning({ code: 'length_limit', index: 2, message: 'Too long.' })
  t.deepEqual(screen.lines, [
    'held-out after step 0: 1.250 ± 0.050 (s.e.), greedy 1.000',
    'warning: Too long.',
    'story  step 2/20  ━━━···························  10 s, about 1 min 30 s left',
    'reward    1.000 ± 0.250  ▁█  25 % of groups equal',
    'parts     structure 0.500',
    'held-out  1.250 ± 0.050 (s.e.), greedy 1.000',
    'phases    generate 1.23 s at 2.3k tok/s  reward 0.01 s  update 12 s at 999 tok/s',
    'texts     short 34  long 1.2k tokens  3 % cut off  entropy 1.500',
    'update    gradient 0.125  learning rate 5.0e-6  memory 300 MiB',
  ])
  shown.onEnd(end)
  t.is(screen.lines.at(-1), 'finished after 20 steps in 2 min 05 s; best held-out reward 1.250 after step 0')
  t.false(screen.isCursorHidden)
})

test('no line of the block is wider than the terminal, however narrow it is or becomes', (t) => {
  const { screen, shown } = view('live', 40)
  shown.onStart(start)
  for (let index = 1; index <= 5; index++) shown.onStep(step(index, index))
  t.true(screen.lines.every((line) => displayWidth(line) < 40))
  const before = screen.lines.length
  screen.resize(30)
  shown.onStep(step(6, 6))
  t.is(screen.lines.length, before)
  t.true(screen.lines.every((line) => displayWidth(line) < 30))
  shown.onEnd(end)
})

test('a terminal that says it has no columns gets those of most terminals', (t) => {
  const { screen, shown } = view('live', 0)
  shown.onStart(start)
  shown.onStep(step(1, 1))
  shown.onStep(step(2, 1))
  t.true(screen.raw.includes('phases    generate 1.23 s at 2.3k tok/s  reward 0.01 s'))
  t.notRegex(screen.raw, /Infinity|NaN/)
  shown.onEnd(end)
})

test('a resumed run takes its time left from the steps of this process', (t) => {
  const { screen, shown, wait } = view('live')
  shown.onStart(start)
  wait(10_000)
  shown.onStep(step(16, 1))
  t.regex(screen.lines[0]!, /step 16\/20 .* 10 s, about 40 s left$/)
  shown.onEnd(end)
})

test('evaluations are told before they are over, and counted apart in the time left', (t) => {
  const { screen, shown, wait } = view('live')
  shown.onStart({ ...start, evalEvery: 10 })
  shown.onEvalStart({ index: 0, items: 100 })
  t.is(screen.lines[2], 'held-out  playing 100 items …')
  wait(60_000)
  shown.onEval({ ...evaluation, timings: { 'time/eval_s': 60 } })
  wait(1000)
  shown.onStep(step(1, 1))
  t.regex(screen.lines[1]!, /step 1\/20 .* 1 min 01 s, about 2 min 19 s left$/)
  shown.onEvalStart({ index: 1, items: 1 })
  t.is(
    screen.lines.find((line) => line.startsWith('held-out  ')),
    'held-out  1.250 ± 0.050 (s.e.), greedy 1.000  playing 1 item …',
  )
  shown.onEnd(end)

  const plain = view('plain')
  plain.shown.onEvalStart({ index: 20, items: 64 })
  t.deepEqual(plain.screen.lines, ['held-out after step 20: playing 64 items …'])
})

test('a log gets a line a tenth of the run, at its ends, and every half minute', (t) => {
  const { screen, shown, wait } = view('plain')
  shown.onStart(start)
  for (let index = 1; index <= 20; index++) {
    wait(index === 6 ? 31_000 : 1000)
    shown.onStep(step(index, index / 10))
  }
  shown.onEnd(end)
  const steps = screen.lines.map((line) => /^step +(\d+)/.exec(line)?.[1]).filter((number) => number !== undefined)
  t.deepEqual(steps, ['1', '3', '5', '6', '8', '10', '12', '14', '16', '18', '20'])
  t.is(
    screen.lines[0],
    'step  1/20  reward 0.100 ± 0.250  generate 2.3k tok/s  update 999 tok/s  memory 300 MiB  about 19 s left',
  )
  t.false(screen.raw.includes('\u001B'))
})

test('quiet shows warnings only', (t) => {
  const { screen, shown } = view('quiet')
  shown.onStart(start)
  shown.onStep(step(1, 1, [row]))
  shown.onEval(evaluation)
  shown.onWarning({ code: 'length_limit', index: 2, message: 'Too long.' })
  shown.onEnd(end)
  t.is(screen.raw, 'warning: Too long.\n')
})

test('a sample table shows the prompt once, each text, the reward parts and advantages', (t) => {
  t.deepEqual(sampleTable(row, 60, paintNever), [
    '┌ sample of step 3, item 7  reward 1.500 (structure 0.500, …',
    '│ Once upon a time',
    '│ short: 5 tokens, advantage +0.500',
    '│   there was',
    '│   a dog.',
    '│ long: 70 tokens, advantage −0.250, cut off',
    `│   ${'x'.repeat(56)}`,
    `│   ${'x'.repeat(14)}`,
    '└',
  ])
  const own = { ...row, agents: row.agents.map((agent, index) => ({ ...agent, prompt: `prompt ${index}` })) }
  t.deepEqual(sampleTable(own, 60, paintNever).slice(1, 3), ['│ short: 5 tokens, advantage +0.500', '│   prompt 0'])
  for (const line of sampleTable(row, 30, paintAlways)) t.true(displayWidth(line) <= 30, line)
})

test('what a model writes cannot move the cursor', (t) => {
  const [agent] = row.agents
  const nasty = {
    ...row,
    agents: [{ ...agent!, name: 'a\u001B[1A', prompt: '\u001B[2J', completion: '\u001B[31m\u0007\r' }],
  }
  for (const line of sampleTable(nasty, 60, paintNever)) t.notRegex(line, /\p{Control}/u)
})

test('a live block needs a terminal', (t) => {
  const stream = { isTTY: true, write: () => true }
  t.is(viewMode(stream, false, {}), 'live')
  t.is(viewMode(stream, true, {}), 'quiet')
  t.is(viewMode(stream, false, { TERM: 'dumb' }), 'plain')
  t.is(viewMode(stream, false, { CI: '1' }), 'plain')
  t.is(viewMode({ ...stream, isTTY: false }, false, {}), 'plain')
})
