/** The small twins of the paper's experiments train, each on a model and on items that are made here. */
import { readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiModel, editJson } from '../support/tiny-model.ts'

const folder = join(repositoryDir, 'examples/paper')
const twins = readdirSync(folder).filter((file) => file.endsWith('-small.yaml'))

/** One item with the fields of all tasks. */
const item = (i: number) => ({
  title: `On ${i}`,
  abstract_text: `We count to ${i} and tell how.`,
  task_id: `made/${i}`,
  prompt: `def add(x):\n    """Add ${i} to x."""\n`,
  test: `def check(candidate):\n    assert candidate(1) == ${i + 1}\n`,
  entry_point: 'add',
})

for (const name of twins) {
  test.serial(`examples/paper/${name} trains for three steps`, async (t) => {
    t.timeout(1_200_000)
    const model = asciiModel()
    editJson(join(model, 'config.json'), (config) => Object.assign(config, { max_position_embeddings: 16384 }))
    await writeFile(
      join(model, 'chat_template.jinja'),
      '{% for message in messages %}{{ message.content }}\n{% endfor %}',
    )
    const root = await temporaryFolder(t)
    const file = join(root, 'items.jsonl')
    await writeFile(file, Array.from({ length: 8 }, (_, i) => `${JSON.stringify(item(i))}\n`).join(''))
    const settings = ['sampling.maxNewTokens=16', `team.model=${model}`, `task.train=${file}`, `task.heldOut=${file}`]
    const few = ['--steps', '3', ...settings.flatMap((setting) => ['--set', setting])]
    const args = ['train', `examples/paper/${name}`, ...few, '--run-dir', join(root, 'run'), '--json', '--quiet']
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
