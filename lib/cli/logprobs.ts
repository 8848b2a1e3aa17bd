import type { Command } from 'commander'
import type { ScoredGroup } from '../model/types.ts'
import { inBatches } from './batches.ts'
import { interruptible } from './interrupts.ts'
import { checkFields, type InputLine, idsField, readJsonLines } from './json-lines-input.ts'
import { addModelOptions, type ModelOptions, openPolicy } from './model-options.ts'
import { printJson, printLine } from './output.ts'

/** Adds `magrpo logprobs`: log-probabilities of given completions. */
export function addLogProbsCommand(program: Command): void {
  addModelOptions(program.command('logprobs'))
    .description('log-probabilities of completions: JSON lines in, one line each out')
    .option('--json', 'print {"logprobs":[..]} for each line')
    .addHelpText(
      'after',
      `
Input, one line each:  {"prompt_ids":[1,2,3],"completion_ids":[4,5]}
Output, in that order: {"logprobs":[-1.5,-0.25]}   natural logarithms, one a completion token

Example:
  magrpo logprobs --model my-model --json < in.jsonl > out.jsonl`,
    )
    .action((options: ModelOptions & { json?: boolean }) => interruptible((signal) => logProbs(options, signal)))
}

async function logProbs({ json, ...options }: ModelOptions & { json?: boolean }, signal: AbortSignal): Promise<void> {
  const { scoreBatch } = await import('../model/score.ts')
  const { policy, dispose } = await openPolicy(options, signal)
  try {
    const compute = async (batch: InputLine[]) => {
      const groups = batch.map<ScoredGroup>((line) => {
        checkFields(line, ['prompt_ids', 'completion_ids'])
        return {
          policy,
          promptIds: idsField(line, 'prompt_ids'),
          completions: [{ ids: idsField(line, 'completion_ids') }],
        }
      })
      const { scores } = await scoreBatch(groups, { signal })
      return scores.map(({ logProbs }) => logProbs[0] ?? new Float32Array())
    }
    await inBatches(readJsonLines(process.stdin), options.batchSize, compute, (result) => {
      if (json) return printJson({ logprobs: Array.from(result) })
      return printLine(`${result.reduce((sum, value) => sum + value, 0).toFixed(4)} over ${result.length} tokens`)
    })
  } finally {
    await dispose()
  }
}
