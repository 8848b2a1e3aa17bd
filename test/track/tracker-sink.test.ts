import test from 'ava'
import type { RunWarning, StepReport } from '../../lib/rl/types/reports.ts'
import type { Tracker } from '../../lib/track/tracker.ts'
import { TrackerSink, type TrackerSinkOptions } from '../../lib/track/tracker-sink.ts'
import { fakeEnd, fakeEval, fakeOptions, fakeStep } from '../support/fake-reports.ts'

/** A tracker that notes its calls; `fail` may throw or return a promise that never settles. */
function notedTracker(fail: (call: string) => void | Promise<void> = () => {}) {
  const calls: string[] = []
  const note = (call: string) => {
    calls.push(call)
    return fail(call)
  }
  const tracker: Tracker = {
    name: 'noted',
    start: (run) => note(`start ${run.name} ${run.folder} ${run.options.steps}`),
    step: ({ index }) => note(`step ${index}`),
    evaluation: ({ index }) => note(`evaluation ${index}`),
    end: ({ reason }) => note(`end ${reason}`),
  }
  return { tracker, calls }
}

async function runThrough(trackers: Tracker[], options: Partial<TrackerSinkOptions> = {}) {
  const warnings: RunWarning[] = []
  const onWarning = (warning: RunWarning) => void warnings.push(warning)
  const sink = new TrackerSink(trackers, { run: { name: 'haiku', folder: 'runs/haiku' }, onWarning, ...options })
  const reports: StepReport[] = [fakeStep(1), fakeStep(2), fakeStep(3)]
  await sink.onStart(fakeOptions)
  await sink.onEval(fakeEval(0))
  for (const report of reports) await sink.onStep(report)
  await sink.onEnd(fakeEnd)
  return { warnings, reports }
}

const all = ['start haiku runs/haiku 3', 'evaluation 0', 'step 1', 'step 2', 'step 3', 'end finished']

test('a tracker is told of the run in its order', async (t) => {
  const { tracker, calls } = notedTracker()
  const { warnings } = await runThrough([tracker])
  t.deepEqual(calls, all)
  t.deepEqual(warnings, [])
})

test('errors of one tracker are warnings, at once and counted at the end; others go on', async (t) => {
  const bad = notedTracker((call) => {
    if (call.startsWith('step')) throw new Error('no route to host.')
  })
  const good = notedTracker()
  const { warnings, reports } = await runThrough([bad.tracker, good.tracker])
  t.deepEqual(bad.calls, all)
  t.deepEqual(good.calls, all)
  t.deepEqual(warnings, [
    { code: 'tracker', index: 1, message: 'Tracker noted failed in step: no route to host. The run goes on.' },
    { code: 'tracker', index: 3, message: 'Tracker noted: 3 calls failed in all; its record has gaps.' },
  ])
  t.deepEqual(
    reports.map((report) => report.warnings),
    [[], [], []],
    'reports stay as they were recorded',
  )
})

test('a tracker that does not start is left alone, and a warning says so', async (t) => {
  const { tracker, calls } = notedTracker(() => Promise.reject(new Error('bad key')))
  const { warnings } = await runThrough([tracker])
  t.deepEqual(calls, all.slice(0, 1))
  t.deepEqual(
    warnings.map(({ message }) => message),
    ['Tracker noted failed in start: bad key. The run goes on without it.'],
  )
})

test('a tracker that hangs is not waited for twice', async (t) => {
  const { tracker, calls } = notedTracker((call) => (call === 'step 1' ? new Promise(() => {}) : undefined))
  const { warnings } = await runThrough([tracker], { timeoutMs: 1 })
  t.deepEqual(calls, all.slice(0, 3))
  t.regex(warnings[0]!.message, /did not settle within 1 ms and is not called again/)
})
