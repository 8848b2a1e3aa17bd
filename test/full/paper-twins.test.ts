import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { repositoryDir, sharedDir, skip, smolModel } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const folder = join(repositoryDir, 'examples/paper')
const twins = readdirSync(folder).filter((file) => file.endsWith('-small.yaml'))

for (const name of twins) {
  test.serial(`examples/paper/${name} trains for three steps`, async (t) => {
    t.timeout(1_200_000)
    if (smolModel() === undefined) return skip(t, 'SmolLM2-135M-Instruct (python3 scripts/fixtures/smollm2.py)')
    if (sharedDir() === undefined) return skip(t, 'the folder ../shared with the data')
    const runDir = join(await temporaryFolder(t), 'run')
    const args = ['train', `examples/paper/${name}`, '--steps', '3', '--run-dir', runDir, '--json', '--quiet']
    const result = await runCli(args)
    t.is(result.code, 0, result.stderr)
    const events = result.json() as { event: string; metrics?: Record<string, number>; steps?: number }[]
    const steps = events.filter(({ event }) => event === 'step')
    t.is(steps.length, 3)
    t.is(events.at(-1)!.steps, 3)
    for (const { metrics } of steps) t.true(Number.isFinite(metrics?.['reward/mean']))
    const isMultiTurn = steps.some(({ metrics }) => metrics?.['reward/turn_2/mean'] !== undefined)
    t.is(isMultiTurn, /multi-turn|mbpp|grpo/.test(name))
  })
}
