import test, { type ExecutionContext } from 'ava'
import { type CliOptions, runCli } from '../support/cli.ts'
import { asciiModel, tinyModel } from '../support/tiny-model.ts'

interface Completion {
  completion: string | null
  completion_ids: number[]
  finish: string
}

const input = (...values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')

async function completions(t: ExecutionContext, args: string[], options: CliOptions): Promise<Completion[]> {
  const result = await runCli(['generate', '--json', ...args], options)
  t.is(result.code, 0, result.stderr)
  return result.json() as Completion[]
}

test('greedy completions: one line each in the order of the input, equal in any batch', async (t) => {
  const model = asciiModel()
  const prompts = ['Once upon a time', 'One day', 'The dog', 'Lily'].map((prompt) => ({ prompt }))
  const args = ['--model', model, '--temperature', '0', '--max-new-tokens', '12']
  const together = await completions(t, args, { input: input(...prompts) })
  const apart = await completions(t, [...args, '--batch-size', '1'], { input: input(...prompts) })
  t.is(together.length, 4)
  t.deepEqual(together, apart)
  t.deepEqual(Object.keys(together[0]!), ['completion', 'completion_ids', 'finish'])
  t.true(together.every(({ completion }) => completion!.length === 12))
  t.true(together.every(({ completion_ids, finish }) => completion_ids.length === 12 && finish === 'length'))
})

test('-n gives so many lines a prompt, grouped; a seed repeats them, another does not', async (t) => {
  const model = asciiModel()
  const args = ['--model', model, '-n', '3', '--max-new-tokens', '10', '--seed']
  const prompts = input({ prompt: 'Once upon a time' }, { prompt_ids: [1, 40] })
  const one = await completions(t, [...args, '7'], { input: prompts })
  t.is(one.length, 6)
  t.is(new Set(one.map(({ completion_ids }) => completion_ids.join())).size, 6)
  t.deepEqual(await completions(t, [...args, '7'], { input: prompts }), one)
  t.notDeepEqual(await completions(t, [...args, '8'], { input: prompts }), one)
})

test('-n of more than one batch takes: the samples are those of any other -n', async (t) => {
  const model = asciiModel()
  const args = ['--model', model, '--max-new-tokens', '2', '-n']
  const prompts = input({ prompt: 'Once upon a time' }, { prompt_ids: [1, 40] })
  const many = await completions(t, [...args, '1030'], { input: prompts })
  const fewer = await completions(t, [...args, '515'], { input: prompts })
  t.is(many.length, 2060)
  t.deepEqual([...many.slice(0, 515), ...many.slice(1030, 1545)], fewer)
})

test('a stop string ends the text before it', async (t) => {
  const model = asciiModel()
  const args = ['--model', model, '--temperature', '0', '--max-new-tokens', '12']
  const options = { input: input({ prompt: 'Once upon a time' }) }
  const [whole] = await completions(t, args, options)
  const stop = whole!.completion!.slice(4, 8)
  const [first] = await completions(t, [...args, '--stop', stop], options)
  t.is(first!.completion, whole!.completion!.slice(0, whole!.completion!.indexOf(stop)))
  t.is(first!.finish, 'stop')
})

test('a model without tokenizer works on ids, and names the line that is text', async (t) => {
  const model = tinyModel({ name: 'llama' })
  const lines = input({ prompt_ids: [1, 40, 7] }, { prompt: 'text' })
  const result = await runCli(['generate', '--model', model, '--json', '--max-new-tokens', '5'], { input: lines })
  t.is(result.code, 1)
  const [first] = result.json() as Completion[]
  t.is(first!.completion, null)
  t.is(first!.completion_ids.length, 5)
  t.regex(result.stderr, /^magrpo: Input line 2: .*tokenizer\.json/)
  t.regex(result.stderr, /code: ERR_TOKENIZER_MISSING\n$/)
})

test('log-probabilities are those that chain: of the whole equals of the parts', async (t) => {
  const model = tinyModel({ name: 'llama' })
  const lines = input(
    { prompt_ids: [1, 40, 7], completion_ids: [26, 37, 5] },
    { prompt_ids: [1, 40, 7, 26], completion_ids: [37, 5] },
    { prompt_ids: [1], completion_ids: [] },
  )
  const result = await runCli(['logprobs', '--model', model, '--json'], { input: lines })
  t.is(result.code, 0, result.stderr)
  t.is(result.stderr, '')
  const [whole, part, none] = (result.json() as { logprobs: number[] }[]).map(({ logprobs }) => logprobs)
  t.is(whole!.length, 3)
  t.true(whole!.every((value) => value < 0 && value === Math.fround(value)))
  for (const [index, value] of part!.entries()) t.true(Math.abs(value - whole![index + 1]!) < 1e-4)
  t.deepEqual(none, [])
})

test('a line the model cannot take is named, after the results before it', async (t) => {
  const model = tinyModel({ name: 'llama' })
  const cases: [unknown, string][] = [
    [{ prompt_ids: [1], completion_ids: [128] }, 'ERR_TOKEN_RANGE'],
    [{ prompt_ids: [], completion_ids: [1] }, 'ERR_EMPTY_PROMPT'],
    [{ prompt_ids: new Array(5000).fill(1), completion_ids: [1] }, 'ERR_PROMPT_TOO_LONG'],
    [{ prompt_ids: [1] }, 'ERR_DATA'],
  ]
  for (const [line, code] of cases) {
    const lines = input({ prompt_ids: [1], completion_ids: [2] }, line, { prompt_ids: [1], completion_ids: [3] })
    const result = await runCli(['logprobs', '--model', model, '--json'], { input: lines })
    t.is(result.code, 1)
    t.is(result.json().length, 1)
    t.regex(result.stderr, /^magrpo: Input line 2: /)
    t.true(result.stderr.endsWith(`code: ${code}\n`), result.stderr)
  }
})

test('no such model is an error before any input is read', async (t) => {
  const result = await runCli(['generate', '--model', 'no/such/folder'], { input: input({ prompt: 'x' }) })
  t.is(result.code, 1)
  t.regex(result.stderr, /code: ERR_MODEL_NOT_FOUND\n$/)
  const fixture = await runCli(['generate', '--model', 'fixture:nothing'], { input: '' })
  t.regex(fixture.stderr, /The model "nothing" is in none of .*known: stories260K/)
})
