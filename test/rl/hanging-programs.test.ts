import test from 'ava'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { resolveTrainOptions } from '../../lib/rl/resolve-options.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { codeTask } from '../../lib/tasks/code/task.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import type { Task } from '../../lib/tasks/task/types.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'

const item: CodeItem = {
  prompt: 'def f(x):\n    """Twice x."""\n',
  test: 'assert f(1) == 2\nassert f(2) == 4\nassert f(3) == 6\nassert f(4) == 8\n',
  entry_point: 'f',
}

/** A code task whose agents write what `body` says, each time with another comment, so that every program runs. */
function taskOf(sandbox: PythonSandbox, body: string): Task<CodeItem> {
  const task = codeTask({ items: [item], sandbox, limits: { cpuSeconds: 0.1, programCpuSeconds: 2 } })
  let count = 0
  const texts = () => ['def aux(x):\n    return x\n', `# ${count++}\n${body}`]
  return {
    ...task,
    observe: () => '0',
    reward: (each, joint, context) => {
      const written = texts()
      return task.reward(
        each,
        joint.map((completion, agent) => ({ ...completion, text: written[agent]! })),
        context,
      )
    },
    metrics: undefined,
  }
}

for (const [what, body] of [
  ['sleep', 'import time\n\ndef f(x):\n    time.sleep(1000)\n    return aux(x)\n'],
  [
    'sleep and do not wake up',
    'import time\n\ndef f(x):\n    while True:\n        try:\n            time.sleep(1000)\n            return aux(x)\n        except BaseException:\n            pass\n',
  ],
  ['loop', 'def f(x):\n    while True:\n        x = aux(x)\n    return x\n'],
] as const)
  test(`sixteen programs that ${what} fail, and the run goes on`, async (t) => {
    const sandbox = await PythonSandbox.start({ workers: 2 })
    t.teardown(() => sandbox.dispose())
    const engine = new TableEngine(2, { prompts: 1, positions: 1, tokens: 4 })
    const run = startRun(tableBackend(engine, ['aux', 'main'], [0, 1]), {
      task: taskOf(sandbox, body),
      algorithm: magrpo({ groupSize: 16 }),
      optimizer: { learningRate: 1 },
      steps: 2,
    } satisfies Omit<TrainOptions<CodeItem>, 'team'>)
    let steps = 0
    for await (const { samples, metrics } of run) {
      steps++
      t.is(samples.length, 16)
      for (const { reward, parts, reason } of samples) {
        t.is(reward, 1.5)
        t.is(parts.tests_passed, 0)
        t.true(parts.timeouts! >= 1, JSON.stringify(parts))
        t.regex(reason!, /^timeout: /)
      }
      t.is(metrics['reward/zero_variance_share'], 1)
    }
    t.is(steps, 2)
  })

test('tasks that bound their own rewards have no time limit of the run, unless the user sets one', async (t) => {
  const agents = tableBackend(
    new TableEngine(2, { prompts: 1, positions: 1, tokens: 4 }),
    ['aux', 'main'],
    [0, 1],
  ).agents
  const team = agents.map(({ name }, policy) => ({
    name,
    policy,
    kind: 'full' as const,
    parameterCount: 1,
    source: '',
  }))
  const limitOf = (task: Task<never>, rewardTimeoutMs?: number) =>
    resolveTrainOptions({ task, optimizer: { learningRate: 1 }, steps: 1, rewardTimeoutMs }, team).rewardTimeoutMs
  const written = defineTask({
    name: 'own',
    agents: ['aux', 'main'],
    items: [{}],
    observe: () => '',
    reward: () => 0,
  })
  const inPython = defineTask({ ...written, reward: { python: 'test/tasks/python/rewards.py:count' } })
  for (const task of [codeTask({ items: [item] }), miniCode({ train: 1 }), inPython]) {
    t.is(limitOf(task as Task<never>), null, task.name)
    t.is(limitOf(task as Task<never>, 5000), 5000, task.name)
  }
  t.is(limitOf(written as Task<never>), 120_000)
})
