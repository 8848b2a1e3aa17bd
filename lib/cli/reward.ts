import { availableParallelism } from 'node:os'
import { type Command, Option } from 'commander'
import { inOrder } from '../base/concurrency.ts'
import { MagrpoError, SandboxError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import type { Joint } from '../tasks/task/completion.ts'
import type { Scorer } from '../tasks/task/entry.ts'
import type { RewardDetails } from '../tasks/task/types.ts'
import { interruptible } from './interrupts.ts'
import { checkFields, fieldError, type InputLine, readJsonLines } from './json-lines-input.ts'
import { printJson, printLine, UsageError } from './output.ts'

interface RewardOptions {
  task: string
  rules: 'paper' | 'strict'
  json?: boolean
}

/**
 * Adds `magrpo reward`: a task's joint reward of given completions.
 *
 * @param words of the command line; the names of the tasks are loaded only for this command
 */
export async function addRewardCommand(program: Command, words: readonly string[]): Promise<void> {
  const names = words.includes('reward') ? `: ${(await import('../tasks/names.ts')).taskNames.join(', ')}` : ''
  program
    .command('reward')
    .description('joint reward of completions: JSON lines in, one line each out')
    .requiredOption('--task <name>', `built-in task${names}`)
    .addOption(new Option('--rules <set>', 'which rule set scores').choices(['paper', 'strict']).default('strict'))
    .option('--json', 'print {"total":..,"parts":{..}} for each line')
    .addHelpText(
      'after',
      `
Input, one line each:  {"item":{..},"completions":["text of agent 1","text of agent 2"]}
Output, in that order: {"total":1.98,"parts":{"structure":0.5}}; a program that fails has a "reason" too, and a reward that
abstains has "total":null

Example:
  magrpo reward --task tldr --rules paper --json < in.jsonl > out.jsonl`,
    )
    .action((options: RewardOptions) => interruptible((signal) => reward(options, signal)))
}

async function reward(options: RewardOptions, signal: AbortSignal): Promise<void> {
  const { isTaskName, taskNames, taskRegistry } = await import('../tasks/names.ts')
  if (!isTaskName(options.task)) {
    const near = nearest(options.task, taskNames)
    const remedy = near === undefined ? `known: ${taskNames.join(', ')}` : `did you mean ${near}?`
    throw new UsageError(`unknown task ${JSON.stringify(options.task)}; ${remedy}`)
  }
  const scorer = await taskRegistry[options.task].scorer(options.rules)
  try {
    const results = inOrder(readJsonLines(process.stdin), 2 * availableParallelism(), (line) =>
      score(scorer, line, signal),
    )
    for await (const result of results) {
      signal.throwIfAborted()
      await (options.json ? printJson(result) : printLine(readable(result)))
    }
  } finally {
    await scorer.dispose?.()
  }
}

async function score(scorer: Scorer, input: InputLine, signal: AbortSignal): Promise<RewardDetails> {
  checkFields(input, ['item', 'completions'])
  const { item = {}, completions } = input.value
  if (!Array.isArray(completions) || !completions.every((text): text is string => typeof text === 'string'))
    throw fieldError(input.line, 'completions', 'an array of texts', JSON.stringify(completions))
  if (typeof item !== 'object' || item === null || Array.isArray(item))
    throw fieldError(input.line, 'item', 'an object', JSON.stringify(item))
  const joint: Joint = completions.map((text) => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }))
  try {
    const result = await scorer.reward(item, joint, { signal })
    return typeof result === 'object' && result !== null ? result : { total: result, parts: {} }
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof SandboxError) throw cause
    const message = `Input line ${input.line}: ${(cause as Error).message}`
    const { code, details } = cause instanceof MagrpoError ? cause : { code: 'ERR_REWARD' as const, details: {} }
    throw new MagrpoError(code, message, { details: { ...details, line: input.line }, cause })
  }
}

function readable({ total, parts, reason }: RewardDetails): string {
  const list = Object.entries(parts).map(([name, value]) => `${name} ${Number(value.toFixed(4))}`)
  const why = reason === undefined ? [] : [`(${reason.replace(/\s+/g, ' ')})`]
  return [total === null ? 'abstained' : String(Number(total.toFixed(4))), ...list, ...why].join('  ')
}
