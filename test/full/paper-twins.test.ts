import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { repositoryDir, sharedDir, skip, smolModel } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const folder = join(repositoryDir, 'examples/paper')
const twins = readdirSync(folder).filter((file) => file.endsWith('-small.yaml'))

// The model is made once, in the cache; where it can't be had, the tests say so and are skipped.
test.before(async (t) => {
  t.timeout(1_200_000)
  if (smolModel() !== undefined || sharedDir() === undefined) return
  const script = join(repositoryDir, 'scripts/fixtures/smollm2.py')
  await promisify(execFile)('python3', [script]).catch((error: Error) => t.log(error.message))
})

for (const name of twins) {
  test.serial(`examples/paper/${name} trains for three steps`, async (t) => {
    t.timeout(1_200_000)
    if (smolModel() === undefined) return skip(t, 'SmolLM2-135M-Instruct (python3 scripts/fixtures/smollm2.py)')
    if (sharedDir() === undefined) return skip(t, 'the folder ../shared with the data')
    const runDir = join(await temporaryFolder(t), 'run')
    const few = ['--steps', '3', '--set', 'sampling.maxNewTokens=16']
    const args = ['train', `examples/paper/${name}`, ...few, '--run-dir', runDir, '--json', '--quiet']
    const result = await runCli(args)
    t.is(result.code, 0, result.stderr)
    const events = result.json() as { event: string; metrics?: Record<string, number>; steps?: number }[]
    const steps = events.filter(({ event }) => event === 'step')
    t.is(steps.length, 3)
    t.is(events.at(-1)!.steps, 3)
    for (const { metrics } of steps) t.true(Number.isFinite(metrics?.['reward/mean']))
    const isMultiTurn = steps.some(({ metrics }) => metrics?.['reward/turn_2/mean'] !== undefined)
    t.is(isMultiTurn, /multi-turn|mbpp|humaneval-grpo/.test(name))
  })
}
