/** Prompts that leave no room, or too little, in a context of 32 tokens; the tiny model's tokenizer has a token per character. */
import test, { type ExecutionContext } from 'ava'
import { Model } from '../../lib/model/model.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { PromptLengths } from '../../lib/rl/rollout/long-prompts.ts'
import { Team } from '../../lib/rl/team/team.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import type { RunWarning, SampleRow } from '../../lib/rl/types/reports.ts'
import { evaluate } from '../../lib/session/evaluate.ts'
import { train } from '../../lib/session/train.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import { tinyModel } from '../support/tiny-model.ts'

const contextLength = 32
const long = 'y'.repeat(40)

async function openTeam(t: ExecutionContext): Promise<Team> {
  loadAddon().setThreads(1)
  const folder = tinyModel({ tokenizer: true, config: { max_position_embeddings: contextLength } })
  const model = await Model.load(folder, { device: 'cpu', dtype: 'float32' })
  t.teardown(() => model.dispose())
  return Team.adapters(model, ['left'], { rank: 2 })
}

const taskOf = (items: string[], heldOut: string[] = [], next?: string) =>
  defineTask({
    name: 'lengths',
    agents: ['left'],
    items,
    heldOut,
    observe: (item) => item,
    reward: (_item: string, joint) => joint[0]!.ids.length,
    ...(next !== undefined && { transition: () => ({ prompts: [next] }) }),
  })

interface Outcome {
  rows: SampleRow[]
  warnings: RunWarning[]
  steps: number
}

/** Trains on the items; `maxNewTokens` is 4, and no completion ends by itself. */
async function outcomeOf(
  t: ExecutionContext,
  task: ReturnType<typeof taskOf>,
  options: Partial<TrainOptions<string>>,
): Promise<Outcome> {
  const team = await openTeam(t)
  const outcome: Outcome = { rows: [], warnings: [], steps: 0 }
  const run = train<string>({
    team,
    task,
    optimizer: { learningRate: 1e-3 },
    sampling: { maxNewTokens: 4, stopIds: [] },
    algorithm: magrpo({ groupSize: 2 }),
    logSamples: 99,
    sinks: [
      {
        onWarning: (warning) => void outcome.warnings.push(warning),
        onEval: ({ samples }) => void outcome.rows.push(...samples),
      },
    ],
    ...(options.epochs === undefined && { steps: 1 }),
    ...options,
  })
  for await (const { index, samples } of run) {
    outcome.rows.push(...samples)
    outcome.steps = index
  }
  return outcome
}

const promptsOf = ({ rows }: Outcome) => rows.map(({ agents }) => agents[0]!.prompt)
const warningOf = ({ warnings }: Outcome, code: RunWarning['code']) => warnings.filter((each) => each.code === code)

test('refuse: all that are too long are named at once, ten of them in words', async (t) => {
  const items = Array.from({ length: 15 }, (_, i) => (i < 11 ? 'y'.repeat(40 + i) : 'fine'))
  const error = await t.throwsAsync(outcomeOf(t, taskOf(items, [long]), { epochs: 1, evalEvery: 1 }), {
    code: 'ERR_PROMPT_TOO_LONG',
  })
  t.regex(
    error!.message,
    /context of 32 tokens, but 12 of 16 items do not: .*, and 2 more\. .*longPrompts to 'skip' or 'cut'/,
  )
  t.is(error!.message.match(/item \d+ \(\d+ tokens for agent 'left'\)/g)!.length, 10)
  const team = await openTeam(t)
  await t.throwsAsync(evaluate({ team, task: taskOf(items), samples: 1 }), {
    code: 'ERR_PROMPT_TOO_LONG',
    message: /11 of 15/,
  })
})

test('skip: such items are drawn in no step and no evaluation, and counted', async (t) => {
  const task = taskOf(['ab', long, 'cd'], [long, 'ef'])
  const outcome = await outcomeOf(t, task, { epochs: 2, evalEvery: 3, evalGreedy: false, longPrompts: 'skip' })
  t.is(outcome.steps, 4, 'two passes over two items')
  t.deepEqual([...new Set(promptsOf(outcome))].sort(), ['ab', 'cd', 'ef'])
  t.true(outcome.rows.filter(({ phase }) => phase === 'train').every(({ item }) => item !== 1))
  t.true(outcome.rows.filter(({ phase }) => phase === 'eval').every(({ item }) => item === 1))
  const [warning, ...others] = warningOf(outcome, 'long_prompts')
  t.deepEqual(others, [])
  t.regex(warning!.message, /leaves out 2 of 5 items: item 1 \(40 tokens for agent 'left'\), held-out item 0 \(40/)
  const report = await evaluate({ team: await openTeam(t), task, greedy: false, longPrompts: 'skip' })
  t.is(report.metrics['eval/skipped_items'], 1)
  const none = outcomeOf(t, taskOf([long, long]), { longPrompts: 'skip' })
  await t.throwsAsync(none, { code: 'ERR_PROMPT_TOO_LONG', message: /'skip' leaves none/ })
})

test('cut: the middle goes until a completion of maxNewTokens fits; shorter prompts stay', async (t) => {
  const tight = `begin ${'-'.repeat(20)} end`
  const items = [`begin ${'-'.repeat(60)} end`, tight, 'ab']
  const outcome = await outcomeOf(t, taskOf(items, items), { epochs: 1, evalEvery: 9, longPrompts: 'cut' })
  for (const { agents, item } of outcome.rows) {
    const { prompt, tokens } = agents[0]!
    t.is(tokens, 4)
    if (item === 2) t.is(prompt, 'ab')
    else t.regex(prompt as string, /^begin -+ … -+ end$/)
  }
  t.regex(warningOf(outcome, 'long_prompts')[0]!.message, /cuts the prompts of 4 of 6 items/)
  t.deepEqual(warningOf(outcome, 'context_limit'), [])
  const impossible = outcomeOf(t, taskOf(items), { longPrompts: 'cut', sampling: { maxNewTokens: 40 } })
  await t.throwsAsync(impossible, {
    code: 'ERR_PROMPT_TOO_LONG',
    message: /Lower sampling\.maxNewTokens.*agent 'left'/,
  })
})

test('later turns: skip ends the branch, cut cuts, refuse fails with the place', async (t) => {
  const task = taskOf(['ab'], [], long)
  const algorithm = magrpo({ groupSize: 2, turns: 2 })
  const skipped = await outcomeOf(t, task, { longPrompts: 'skip', algorithm })
  t.deepEqual([...new Set(skipped.rows.map(({ turn }) => turn))], [0])
  t.true(
    skipped.rows.every((row) => row.return === 2 * row.reward!),
    'its last reward is absorbed',
  )
  const cut = await outcomeOf(t, task, { longPrompts: 'cut', algorithm })
  t.true(cut.rows.some(({ turn }) => turn === 1))
  await t.throwsAsync(outcomeOf(t, task, { algorithm }), { code: 'ERR_PROMPT_TOO_LONG', message: /turn 2/ })
})

test('a context that ends completions is told before step 1, and in place of maxNewTokens after it', async (t) => {
  const items = ['z'.repeat(29), 'z'.repeat(30), 'ab']
  const sampling = { maxNewTokens: 25, stopIds: [] }
  const outcome = await outcomeOf(t, taskOf(items.slice(0, 2)), { steps: 4, sampling })
  const [early] = warningOf(outcome, 'context_limit')
  t.is(early!.index, 0)
  t.regex(early!.message, /prompts of 2 of 2 items .*maxNewTokens \(25\): 2 of 32 tokens after the longest \(30 tokens/)
  const [late] = warningOf(outcome, 'length_limit')
  t.regex(
    late!.message,
    /100 % of the completions were cut off by the end of the model's context, before sampling\.maxNewTokens \(25\)/,
  )
  const roomy = await outcomeOf(t, taskOf(['ab']), { steps: 4, sampling: { maxNewTokens: 20, stopIds: [] } })
  t.deepEqual(warningOf(roomy, 'context_limit'), [])
  t.regex(warningOf(roomy, 'length_limit')[0]!.message, /hit the limit of 20 new tokens\. Raise/)
})

test('chat: the longest message of the user is cut, the template and the others are not', (t) => {
  const template = 3
  const measurePrompt: NonNullable<ConstructorParameters<typeof PromptLengths>[0]['measurePrompt']> = (_, prompt) => {
    const contents = prompt as { content: string }[]
    return { tokens: contents.reduce((sum, { content }) => sum + template + content.length, 0), contextLength: 60 }
  }
  const lengths = new PromptLengths({ measurePrompt }, 'cut', 10)
  const chat = [
    { role: 'system' as const, content: 's'.repeat(15) },
    { role: 'user' as const, content: `what ${'.'.repeat(80)} please` },
    { role: 'user' as const, content: 'short' },
  ]
  const played = lengths.played(0, chat)!
  t.deepEqual([played[0], played[2]], [chat[0], chat[2]])
  t.regex(played[1]!.content, /^what \.+ … \.+ please$/)
  t.is(60 - measurePrompt(0, played, 10).tokens, 10)
  const system = [{ role: 'system' as const, content: 's'.repeat(90) }]
  t.throws(() => lengths.played(0, system), {
    code: 'ERR_PROMPT_TOO_LONG',
    message: /only text, or a message of the user/,
  })
  const both = [...system, { role: 'user' as const, content: 'hi' }]
  t.throws(() => lengths.played(0, both), { code: 'ERR_PROMPT_TOO_LONG', message: /around the text alone is too long/ })
})
