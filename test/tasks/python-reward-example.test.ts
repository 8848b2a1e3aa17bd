import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { loadConfig } from '../../lib/config/load.ts'
import { loadTask } from '../../lib/session/load-task.ts'
import { tasks } from '../../lib/tasks/index.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import { pythonReward } from '../../lib/tasks/task/python-reward.ts'
import type { RewardResult } from '../../lib/tasks/task/types.ts'
import { rejectsWith } from '../support/errors.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const { signal } = new AbortController()
const file = join(repositoryDir, 'examples/rewards/tldr_reward.py')
const total = (result: RewardResult) => (typeof result === 'object' ? result!.total! : result)

function joint(...texts: string[]): Completion[] {
  return texts.map((text) => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }))
}

test('the TLDR reward as a file of the user scores as the rules "paper"', async (t) => {
  // Style words and plain ones in an order that is another for each post.
  const vocabulary =
    `my dog ran because however therefore the the a cat moved and so but I really think we should go home
    since nobody asked for example about money first then finally work`.split(/\s+/)
  const posts = Array.from({ length: 60 }, (_, post) => {
    const words = Array.from(
      { length: 300 },
      (_, i) => vocabulary[(i * (7 + post) + i * i * (post % 5)) % vocabulary.length],
    )
    return { prompt: `SUBREDDIT: r/x TITLE: ${words.join(' ')} TL;DR:` }
  })
  const task = await tasks.tldr({ train: posts, rules: 'paper' })
  const { reward, dispose } = pythonReward({ python: `${file}:tldr_reward` })
  t.teardown(dispose)
  const seen = new Set<number>()
  for (const [index, post] of posts.entries()) {
    const words = post.prompt.split(/\s+/).slice(10)
    const brief = words.slice(0, 8 + index).join(' ')
    const texts = joint(brief, words.slice(index % 3, Math.round((8 + index) * (1 + (index % 13) / 4))).join(' '))
    const expected = total(await task.reward(post, texts, { signal }))
    t.true(
      Math.abs(total(await reward(post, texts, { signal })) - expected) < 1e-9,
      texts.map(({ text }) => text).join('|'),
    )
    seen.add(expected)
  }
  t.true(seen.size > 20, 'the texts reach many levels')
})

test('a configuration puts a Python reward in the place of the task its own', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(folder, { recursive: true })
  const posts = join(folder, 'posts.jsonl')
  await writeFile(posts, '{"prompt": "A post."}\n')
  const rewards = join(folder, 'mine.py')
  await writeFile(
    rewards,
    'def score(item, completions):\n    print("hello")\n    return len(item["prompt"]) + len(completions)\n',
  )
  const config = join(folder, 'mine.yaml')
  const yaml = (reward: string) =>
    `team: { model: m }\noptimizer: { learningRate: 1 }\nsteps: 1\ntask:\n  name: tldr\n  train: ${posts}\n  reward: ${reward}\n`
  await writeFile(config, yaml(`{ python: "${rewards}:score" }`))
  const log: string[] = []
  let printed = () => {}
  const firstLine = new Promise<void>((resolve) => {
    printed = resolve
  })
  const onLine = (line: string) => {
    log.push(line)
    printed()
  }
  const task = await loadTask((await loadConfig(config)).task, { log: onLine })
  t.teardown(() => task.dispose?.())
  t.deepEqual(await task.reward(task.items[0], joint('a', 'b'), { signal }), { total: 9, parts: {} })
  // What it prints comes by a pipe of its own, before or after the answer.
  await firstLine
  t.deepEqual(log, ['hello'])
  t.is(task.maxReward, undefined)
  t.deepEqual(task.agents, ['summarizer', 'elaborator'])
  const make = async () => loadTask((await loadConfig(config)).task)
  await writeFile(config, yaml(`{ python: "${rewards}:other" }`))
  await rejectsWith(t, make, 'ERR_TASK', 'it defines no other; functions in it: score')
  await writeFile(config, yaml('{ pyton: a }'))
  await rejectsWith(t, () => loadConfig(config), 'ERR_CONFIG', 'task.reward.pyton', 'did you mean "python"')
  await writeFile(config, yaml('{ python: "nowhere.py:score" }'))
  await rejectsWith(t, make, 'ERR_TASK', 'there is no file nowhere.py')
})

test('the example is a valid configuration', async (t) => {
  const { name } = await loadConfig(join(repositoryDir, 'examples/rewards/tldr-python.yaml'))
  t.is(name, 'tldr-python')
})
