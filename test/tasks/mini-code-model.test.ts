import { readFile, stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { agentPrompt, agents } from '../../lib/tasks/mini-code/prompts.ts'
import { auxSolution, conventions, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import { Tokenizer } from '../../lib/text/tokenizer.ts'

const folder = fileURLToPath(new URL('../../models/mini-code/', import.meta.url))
const readJson = async (name: string) => JSON.parse(await readFile(folder + name, 'utf8'))
const { train, validation, heldOut } = miniCodeProblems()

test('the tokenizer, the configuration and the end token fit each other', async (t) => {
  const tokenizer = await Tokenizer.load(folder)
  const config = await readJson('config.json')
  t.is(tokenizer.vocabSize, config.vocab_size)
  t.is(tokenizer.special.eos, config.eos_token_id)
  t.is((await readJson('generation_config.json')).eos_token_id, config.eos_token_id)
})

test('the tokenizer gives every text of the task back, within the task’s token limit', async (t) => {
  const tokenizer = await Tokenizer.load(folder)
  const { maxNewTokens = 0 } = miniCode({ train: 1, heldOut: 0 }).defaults ?? {}
  const { max_position_embeddings: contextLength } = await readJson('config.json')
  const items = [...train.filter((_, index) => index % 20 === 0), ...validation, ...heldOut]
  for (const item of items) {
    const problem = problemOf(item)
    for (const agent of agents.keys()) {
      const prompt = agentPrompt(item.prompt, agent)
      const promptIds = tokenizer.encode(prompt)
      if (tokenizer.decode(promptIds) !== prompt) t.fail(prompt)
      if (promptIds.length + maxNewTokens > contextLength) t.fail(`${prompt} has ${promptIds.length} tokens`)
    }
    for (const name of conventions)
      for (const code of [auxSolution(problem, name), mainSolution(problem, name)]) {
        const ids = tokenizer.encode(code)
        if (tokenizer.decode(ids) !== code) t.fail(code)
        if (ids.length + 1 > maxNewTokens) t.fail(`${code} has ${ids.length} tokens`)
      }
  }
  t.pass()
})

test('every digit is a token of its own', async (t) => {
  const tokenizer = await Tokenizer.load(folder)
  t.is(tokenizer.encode('1234567890').length, 10)
  t.is(tokenizer.encode(' 12 345').length, 5)
})

test('the model is at most 2 MB', async (t) => {
  const { size } = await stat(`${folder}model.safetensors`)
  t.true(size <= 2e6, String(size))
})
