import type { Command } from 'commander'
import type { Sampling } from '../model/sampling.ts'
import type { GenerateRequest, Prompt, Sample } from '../model/types.ts'
import { inBatches } from './batches.ts'
import { interruptible } from './interrupts.ts'
import { checkFields, fieldError, type InputLine, idsField, lineError, readJsonLines } from './json-lines-input.ts'
import { addModelOptions, type ModelOptions, openPolicy } from './model-options.ts'
import { collect, integerFrom, maxSeed, numberFrom } from './option-values.ts'
import { printJson, printLine, UsageError } from './output.ts'

interface GenerateOptions extends ModelOptions {
  prompt?: string[]
  n: number
  temperature: number
  topK: number
  topP: number
  minP: number
  repetitionPenalty: number
  maxNewTokens: number
  stop?: string[]
  seed: number
  json?: boolean
}

/** Most completions computed at once: their keys and values have to fit into memory. */
const maxRows = 512

/** Most completions of one prompt, which are all held in memory. */
const maxCompletions = 65_536

/** Adds `magrpo generate`: completions of prompts. */
export function addGenerateCommand(program: Command): void {
  addModelOptions(program.command('generate'))
    .description('complete prompts: JSON lines in, one line a completion out')
    .option('--prompt <text>', 'a prompt, instead of standard input; may come several times', collect)
    .option('-n <count>', 'completions a prompt', integerFrom(1, maxCompletions), 1)
    .option('--temperature <number>', '0 is greedy', numberFrom(0), 1)
    .option('--top-k <count>', 'keep the k most probable tokens; 0 keeps all', integerFrom(0), 0)
    .option(
      '--top-p <share>',
      'keep the smallest set of tokens with this probability',
      numberFrom(0, 1, { above: true }),
      1,
    )
    .option('--min-p <share>', 'drop tokens below this share of the most probable', numberFrom(0, 1), 0)
    .option(
      '--repetition-penalty <number>',
      'above 1 makes tokens seen before less likely',
      numberFrom(0, undefined, { above: true }),
      1,
    )
    .option('--max-new-tokens <count>', 'most tokens of a completion', integerFrom(1), 256)
    .option('--stop <text>', 'end before this text; may come several times', collect)
    .option('--seed <number>', 'equal seeds give equal samples', integerFrom(0, maxSeed), 0)
    .option('--json', 'print {"completion":..,"completion_ids":[..],"finish":"stop|length"} for each completion')
    .addHelpText(
      'after',
      `
Input, one line each:  {"prompt":"Once upon a time"}   or  {"prompt_ids":[1,2,3]}
Output, in that order: {"completion":" there was","completion_ids":[4,5],"finish":"length"}
With -n G each line gives G lines.

Examples:
  magrpo generate --model fixture:stories260K --prompt "Once upon a time" --temperature 0
  magrpo generate --model my-model --json -n 4 --temperature 0.7 < prompts.jsonl > completions.jsonl`,
    )
    .action((options: GenerateOptions) => interruptible((signal) => generate(options, signal)))
}

async function generate(options: GenerateOptions, signal: AbortSignal): Promise<void> {
  if (options.prompt === undefined && process.stdin.isTTY)
    throw new UsageError('expected prompts on standard input, one JSON object a line, or --prompt TEXT')
  const { generateBatch } = await import('../model/generate.ts')
  const { policy, dispose } = await openPolicy(options, signal)
  try {
    const compute = async (batch: InputLine[]) => {
      const samples = batch.map((): Sample[] => [])
      // A prompt with more completions than one batch takes is a batch several times.
      for (let sample = 0; sample < options.n; sample += maxRows) {
        const requests = batch.map<GenerateRequest>((line) => ({
          policy,
          prompt: promptOf(line),
          count: Math.min(maxRows, options.n - sample),
          stream: { seed: options.seed, step: 0, agent: 0, prompt: line.line - 1, sample },
        }))
        const { generations } = await generateBatch(requests, samplingOf(options), { signal })
        for (const [index, generation] of generations.entries()) samples[index]!.push(...generation.samples)
      }
      return samples
    }
    const lines = Math.min(options.batchSize, Math.max(1, Math.floor(maxRows / options.n)))
    await inBatches(inputLines(options), lines, compute, async (samples) => {
      for (const sample of samples) await printSample(sample, options.json === true)
    })
  } finally {
    await dispose()
  }
}

function samplingOf(options: GenerateOptions): Sampling {
  const { temperature, topK, topP, minP, repetitionPenalty, maxNewTokens, stop } = options
  return { temperature, topK, topP, minP, repetitionPenalty, maxNewTokens, ...(stop && { stop }) }
}

function inputLines({ prompt }: GenerateOptions): AsyncIterable<InputLine> {
  if (prompt === undefined) return readJsonLines(process.stdin)
  return (async function* () {
    for (const [index, text] of prompt.entries()) yield { line: index + 1, value: { prompt: text } }
  })()
}

function promptOf(line: InputLine): Prompt {
  checkFields(line, ['prompt', 'prompt_ids'])
  const { prompt } = line.value
  if (prompt !== undefined && line.value.prompt_ids !== undefined)
    throw lineError(line.line, 'expected "prompt" or "prompt_ids" but received both', undefined, 'prompt')
  if (prompt === undefined) return idsField(line, 'prompt_ids')
  if (typeof prompt === 'string') return prompt
  if (Array.isArray(prompt) && prompt.length > 0 && prompt.every(isMessage)) return prompt
  throw fieldError(line.line, 'prompt', 'text or chat messages', JSON.stringify(prompt))
}

function isMessage(value: unknown): boolean {
  const message = value as { role?: unknown; content?: unknown } | null
  return ['system', 'user', 'assistant'].includes(String(message?.role)) && typeof message?.content === 'string'
}

function printSample({ text, ids, finish }: Sample, json: boolean): Promise<void> {
  if (!json) return printLine(text ?? Array.from(ids).join(' '))
  return printJson({ completion: text, completion_ids: Array.from(ids), finish })
}
