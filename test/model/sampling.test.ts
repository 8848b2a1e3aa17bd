/** How completions end, and what the settings of sampling do. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { Policy } from '../../lib/model/policy.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenModel } from '../support/golden-models.ts'
import { logitsOf } from '../support/native-golden.ts'
import { openModel } from '../support/open-model.ts'
import { tinyModel } from '../support/tiny-model.ts'

const prompt = Int32Array.from([5, 17, 80, 33])
const many = { seed: 0, count: 64, maxNewTokens: 24 }

test('an end id ends its completion, stays in the ids and has a log-prob', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('qwen3-tied')))
  const [free] = await policy.generate([prompt], { ...many, stopIds: [] })
  const [ended] = await policy.generate([prompt], { ...many, stopIds: [7, 40, 41, 42, 43] })
  for (const [i, { ids, finish, logProbs, entropies }] of ended!.samples.entries()) {
    const whole = [...free!.samples[i]!.ids]
    const at = whole.findIndex((id) => [7, 40, 41, 42, 43].includes(id))
    t.deepEqual([...ids], at < 0 ? whole : whole.slice(0, at + 1), `sample ${i}`)
    t.is(finish, at < 0 ? 'length' : 'stop')
    t.is(logProbs.length, ids.length)
    t.is(entropies.length, ids.length)
  }
  t.true(ended!.samples.some(({ finish }) => finish === 'stop'))
  t.true(ended!.samples.some(({ finish }) => finish === 'length'))
})

test('end ids are those of generation_config.json, else of config.json, else none', async (t) => {
  t.deepEqual((await openModel(t, goldenModel('qwen2'))).endIds.length > 0, true)
  t.deepEqual((await openModel(t, tinyModel({ config: { eos_token_id: 9 } }))).endIds, [9])
  t.deepEqual((await openModel(t, tinyModel({ config: { eos_token_id: [9, 10] } }))).endIds, [9, 10])
  const folder = tinyModel({})
  writeFileSync(join(folder, 'generation_config.json'), '{"eos_token_id": "9"}')
  const error = await rejectsWith(t, () => openModel(t, folder), 'ERR_MODEL_FORMAT', 'eos_token_id')
  t.true(error.message.includes('generation_config.json'))
  t.deepEqual((await openModel(t, tinyModel())).endIds, [])
})

test('a completion stops where the context is full', async (t) => {
  const model = await openModel(t, tinyModel({ config: { max_position_embeddings: 10 } }))
  const [generation] = await Policy.base(model).generate([prompt], { maxNewTokens: 50 })
  t.is(generation!.samples[0]!.ids.length, 10 - prompt.length)
  t.is(generation!.samples[0]!.finish, 'length')
})

test('a stop string that spans tokens ends its completion and is cut from the text', async (t) => {
  const policy = Policy.base(await openModel(t, tinyModel({ tokenizer: true })))
  const [free] = await policy.generate(['abc'], { seed: 0, maxNewTokens: 30, count: 4, stopIds: [] })
  t.deepEqual([...free!.promptIds], [97, 98, 99])
  for (const [sample, { ids, text }] of free!.samples.entries()) {
    t.is(text, String.fromCharCode(...ids))
    const stop = text!.slice(10, 14)
    const at = text!.indexOf(stop)
    const [ended] = await policy.generate(['abc'], {
      maxNewTokens: 30,
      stream: { sample },
      stopIds: [],
      stop: ['never seen', stop],
    })
    const [row] = ended!.samples
    t.is(row!.text, text!.slice(0, at))
    t.deepEqual([...row!.ids], [...ids].slice(0, at + 4), 'the tokens of the stop string stay in the ids')
    t.is(row!.finish, 'stop')
    t.is(row!.logProbs.length, at + 4)
  }
})

test('a stop string may begin in the prompt no earlier than with the first new token', async (t) => {
  const policy = Policy.base(await openModel(t, tinyModel({ tokenizer: true })))
  const [free] = await policy.generate(['abc'], { seed: 0, maxNewTokens: 6, stopIds: [] })
  const [ended] = await policy.generate(['abc'], {
    seed: 0,
    maxNewTokens: 6,
    stopIds: [],
    stop: [`c${free!.samples[0]!.text![0]}`],
  })
  t.deepEqual(ended!.samples[0]!.ids, free!.samples[0]!.ids)
})

test('model log-probs are those of the full distribution, whatever the sampling', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const policy = Policy.base(model)
  for (const sampling of [{ temperature: 0 }, { temperature: 0.3 }, { topK: 3 }, { topP: 0.5 }, { minP: 0.3 }]) {
    const [generation] = await policy.generate([prompt], { ...sampling, maxNewTokens: 12 })
    const [sample] = generation!.samples
    const [scores] = await policy.logProbs([{ promptIds: prompt, completions: [{ ids: sample!.ids }] }])
    for (const [i, logProb] of sample!.modelLogProbs.entries())
      t.true(Math.abs(logProb - scores!.logProbs[0]![i]!) < 1e-5, `${JSON.stringify(sampling)}, token ${i}`)
  }
})

test('top-k, top-p and min-p draw only what they keep', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const [logits] = await logitsOf(model.native, [[...prompt]])
  const highest = Math.max(...logits!)
  const sum = logits!.reduce((total, logit) => total + Math.exp(logit - highest), 0)
  const ranked = [...logits!].map((logit, id) => ({ id, p: Math.exp(logit - highest) / sum })).sort((a, b) => b.p - a.p)
  const drawn = async (sampling: object) => {
    const [generation] = await Policy.base(model).generate([prompt], {
      ...sampling,
      seed: 0,
      count: 3000,
      maxNewTokens: 1,
    })
    return new Set(generation!.samples.map(({ ids }) => ids[0]!))
  }
  const best = (count: number) => new Set(ranked.slice(0, count).map(({ id }) => id))
  const sorted = (ids: Set<number>) => [...ids].sort((a, b) => a - b)
  t.deepEqual(sorted(await drawn({ topK: 4 })), sorted(best(4)))
  let mass = 0
  const nucleus = ranked.findIndex(({ p }) => {
    mass += p
    return mass >= 0.6
  })
  t.deepEqual(sorted(await drawn({ topP: 0.6 })), sorted(best(nucleus + 1)))
  const kept = ranked.filter(({ p }) => p >= 0.4 * ranked[0]!.p).length
  t.deepEqual(sorted(await drawn({ minP: 0.4 })), sorted(best(kept)))
  t.deepEqual(sorted(await drawn({ topK: 1 })), sorted(best(1)))
  t.true((await drawn({})).size > 20)
})

test('a strong repetition penalty keeps a greedy text from repeating itself, prompt included', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const [generation] = await policy.generate([prompt], { temperature: 0, repetitionPenalty: 1e6, maxNewTokens: 40 })
  const ids = [...prompt, ...generation!.samples[0]!.ids]
  t.is(new Set(ids).size, ids.length)
  const [plain] = await policy.generate([prompt], { temperature: 0, repetitionPenalty: 1, maxNewTokens: 40 })
  t.true(new Set(plain!.samples[0]!.ids).size < 40)
})

test('a low temperature is nearly greedy, a high one is not', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const distinct = async (temperature: number) => {
    const [generation] = await policy.generate([prompt], { temperature, seed: 0, count: 200, maxNewTokens: 1 })
    return new Set(generation!.samples.map(({ ids }) => ids[0]!)).size
  }
  t.is(await distinct(0.001), 1)
  t.true((await distinct(5)) > 40)
})
