import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { defineTask, Model, Team, type Tracker, tensorBoard, train } from '../../lib/index.ts'
import type { RunWarning } from '../../lib/rl/types/reports.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const task = defineTask({
  name: 'letters',
  agents: ['one', 'two'],
  items: [{ text: 'abc' }, { text: 'def' }],
  heldOut: [{ text: 'xyz' }],
  observe: (item: { text: string }, agent: number) => `${item.text}${agent}`,
  reward: (_: unknown, joint) => new Set(joint.map(({ text }) => text).join('')).size / 16,
  defaults: { maxNewTokens: 8 },
})

test('train tells its trackers, and a tracker that fails costs a warning', async (t) => {
  const runDir = join(await temporaryFolder(t), 'letters')
  const model = await Model.load(tinyModel({ tokenizer: true }))
  const team = await Team.adapters(model, task.agents, { rank: 2 })
  const calls: string[] = []
  const failing: Tracker = {
    name: 'failing',
    start: ({ name, folder, options }) => void calls.push(`start ${name} ${folder === runDir} ${options.steps}`),
    step: async ({ index }) => {
      calls.push(`step ${index}`)
      throw new Error('the network is down')
    },
    evaluation: ({ index }) => void calls.push(`evaluation ${index}`),
    end: ({ reason }) => void calls.push(`end ${reason}`),
  }
  const trackers = [failing, tensorBoard()]
  const warnings: string[] = []
  const onWarning = (text: string) => void warnings.push(text)
  const settings = { team, task, optimizer: { learningRate: 0.01 }, evalEvery: 2 }
  const run = train({ ...settings, steps: 2, runDir, trackers, onWarning })
  const reported: string[] = []
  for await (const step of run) reported.push(...step.warnings)

  // A sink that takes warnings gets them instead; where nobody takes them they are the process's.
  const heard: RunWarning[] = []
  const sinks = [{ onWarning: (warning: RunWarning) => void heard.push(warning) }]
  await train({ ...settings, steps: 1, trackers: [failing], sinks, onWarning: () => t.fail() }).result
  const [[emitted]] = await Promise.all([
    once(process, 'warning') as Promise<[Error]>,
    train({ ...settings, steps: 1, trackers: [failing] }).result,
  ])
  await team.dispose()
  await model.dispose()

  t.deepEqual(calls.slice(0, 6), [
    'start letters true 2',
    'evaluation 0',
    'step 1',
    'step 2',
    'evaluation 2',
    'end finished',
  ])
  const message = 'Tracker failing failed in step: the network is down. The run goes on.'
  t.deepEqual(warnings, [message, 'Tracker failing: 2 calls failed in all; its record has gaps.'])
  t.false(reported.includes(message))
  t.true(heard.some((warning) => warning.message === message))
  t.is(emitted.message, message)
  // Metrics are the same bytes whatever a network did.
  t.false((await readFile(join(runDir, 'metrics.jsonl'), 'utf8')).includes('Tracker'))
  const names = await readdir(runDir)
  t.is(names.filter((name) => name.startsWith('events.out.tfevents.')).length, 1)
  t.true((await readFile(join(runDir, 'report.html'), 'utf8')).includes('>finished</span>'))
})
