import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import test from 'ava'
import { parseModelConfig } from '../../lib/model/config.ts'
import { Model } from '../../lib/model/model.ts'
import { rejectsWith } from '../support/errors.ts'
import { setEnvironment } from '../support/fake-hub.ts'
import { readGolden } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const config = (changes: Record<string, unknown>, name = 'qwen3-tied') => {
  const json = { ...readGolden<Record<string, unknown>>(`${name}/config.json`), ...changes }
  return () => parseModelConfig(JSON.parse(JSON.stringify(json)), 'folder/config.json')
}

const unsupported: [field: string, changes: Record<string, unknown>, says: string][] = [
  ['model_type', { model_type: 'gpt2' }, 'llama, mistral, qwen2, qwen3'],
  ['model_type', { model_type: 'qwen2_moe' }, 'qwen2_moe'],
  ['model_type', { model_type: undefined }, 'architecture'],
  ['model_type', { model_type: 7 }, 'architecture 7'],
  ['hidden_act', { hidden_act: 'gelu' }, 'gelu'],
  ['quantization_config', { quantization_config: { quant_method: 'gptq' } }, 'quantised'],
  ['rope_type', { rope_parameters: { rope_type: 'yarn', rope_theta: 1e4, factor: 4 } }, 'yarn'],
  ['rope_type', { rope_parameters: null, rope_scaling: { type: 'dynamic', factor: 2 } }, 'dynamic'],
  ['rope_type', { rope_parameters: { rope_type: 'longrope', rope_theta: 1e4 } }, 'longrope'],
  ['partial_rotary_factor', { partial_rotary_factor: 0.5 }, '0.5'],
  ['layer_types', { layer_types: ['full_attention', 'chunked_attention'] }, 'chunked_attention'],
  ['dtype', { dtype: 'float64' }, 'float64'],
  ['model_type', { model_type: 'gemma3', text_config: { model_type: 'gemma3_text' } }, '"gemma3_text"'],
]

for (const [field, changes, says] of unsupported)
  test(`not computed, and said so: ${JSON.stringify(changes)}`, (t) => {
    const error = t.throws(config(changes), { code: 'ERR_MODEL_UNSUPPORTED' })
    t.true(error?.message.includes('folder/config.json') && error.message.includes(says), error?.message)
    t.true(error?.message.includes(`"${field}"`), error?.message)
    t.deepEqual((error as unknown as { details: object }).details, { file: 'folder/config.json', field })
  })

const malformed: [field: string, changes: Record<string, unknown>][] = [
  ['vocab_size', { vocab_size: undefined }],
  ['vocab_size', { vocab_size: '128' }],
  ['eos_token_id', { eos_token_id: '2' }],
  ['eos_token_id', { eos_token_id: [2, '3'] }],
  ['eos_token_id', { eos_token_id: -1 }],
  ['hidden_size', { hidden_size: 0 }],
  ['hidden_size', { hidden_size: -64 }],
  ['intermediate_size', { intermediate_size: 1.5 }],
  ['num_hidden_layers', { num_hidden_layers: 1e9, layer_types: null }],
  ['num_attention_heads', { num_attention_heads: null }],
  ['rms_norm_eps', { rms_norm_eps: 'small' }],
  ['tie_word_embeddings', { tie_word_embeddings: 1 }],
  ['attention_bias', { attention_bias: 'no' }],
  ['layer_types', { layer_types: ['full_attention'] }],
  ['layer_types', { layer_types: 'full_attention' }],
  ['factor', { rope_parameters: { rope_type: 'linear', rope_theta: 1e4 } }],
  ['low_freq_factor', { rope_parameters: { rope_type: 'llama3', rope_theta: 1e4, factor: 8 } }],
  ['rope_theta', { rope_parameters: { rope_type: 'default', rope_theta: 'x' } }],
  ['sliding_window', { use_sliding_window: true, sliding_window: 0 }],
  ['sliding_window', { use_sliding_window: true, sliding_window: 2 ** 32 + 3 }],
  ['sliding_window', { use_sliding_window: true, sliding_window: 2 ** 31 }],
  ['vocab_size', { vocab_size: 2 ** 40 }],
  ['rms_norm_eps', { rms_norm_eps: -1 }],
  ['rope_theta', { rope_parameters: { rope_type: 'default', rope_theta: 0 } }],
  ['factor', { rope_parameters: { rope_type: 'linear', rope_theta: 1e4, factor: 0 } }],
  ['rope_parameters', { rope_parameters: 5 }],
  ['rope_scaling', { rope_parameters: null, rope_scaling: [1] }],
  ['max_position_embeddings', { max_position_embeddings: 0 }],
  ['num_attention_heads', { num_attention_heads: 7 }],
  ['head_dim', { head_dim: 15 }],
  [
    'rope_scaling',
    { rope_parameters: { rope_type: 'default', rope_theta: 1e4 }, rope_scaling: { rope_type: 'yarn', factor: 4 } },
  ],
  [
    'rope_scaling',
    { rope_parameters: { rope_type: 'linear', factor: 2 }, rope_scaling: { type: 'linear', factor: 4 } },
  ],
  ['rope_scaling', { rope_parameters: null, rope_scaling: { type: 'linear', rope_type: 'default', factor: 4 } }],
  ['rope_theta', { rope_parameters: { rope_type: 'default', rope_theta: 2e4 }, rope_theta: 1e4 }],
]

for (const [field, changes] of malformed)
  test(`malformed, named by field: ${JSON.stringify(changes)}`, (t) => {
    const error = t.throws(config(changes), { code: 'ERR_MODEL_FORMAT' })
    t.true(error?.message.includes(`"${field}"`) && error.message.includes('folder/config.json'), error?.message)
  })

for (const json of [null, [], 'text', 7])
  test(`not an object: ${JSON.stringify(json)}`, (t) => {
    t.throws(() => parseModelConfig(json, 'folder/config.json'), {
      code: 'ERR_MODEL_FORMAT',
      message: /folder\/config/,
    })
  })

test('sizes that no decoder can have are refused before anything is read', async (t) => {
  const odd = tinyModel({ config: { head_dim: 31 } })
  await rejectsWith(t, () => Model.load(odd), 'ERR_MODEL_FORMAT', 'head_dim', '31')
  const uneven = tinyModel({ config: { num_key_value_heads: 3 } })
  await rejectsWith(t, () => Model.load(uneven), 'ERR_MODEL_FORMAT', 'num_key_value_heads', '3')
})

test.serial('a folder that is not there, or has no or a broken config.json', async (t) => {
  const folder = await temporaryFolder(t)
  await rejectsWith(t, () => Model.load(join(folder, 'none')), 'ERR_MODEL_NOT_FOUND', join(folder, 'none'))
  await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_NOT_FOUND', folder, 'config.json')
  setEnvironment(t, { HF_HUB_OFFLINE: '1' })
  const name = 'magrpo-test/no-such-model'
  await rejectsWith(t, () => Model.load(name), 'ERR_MODEL_NOT_FOUND', resolve(name), 'HF_HUB_OFFLINE')
  writeFileSync(join(folder, 'config.json'), '{"model_type": ')
  await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', join(folder, 'config.json'), 'not JSON')
})

test('devices and dtypes that cannot be had are errors, never others silently', async (t) => {
  const folder = tinyModel()
  await rejectsWith(t, () => Model.load(folder, { device: 'tpu' as 'cpu' }), 'ERR_CONFIG', 'tpu')
  await rejectsWith(t, () => Model.load(folder, { dtype: 'float16' as 'float32' }), 'ERR_CONFIG', 'float16')
  await rejectsWith(t, () => Model.load(folder, { dtype: 'double' as 'float32' }), 'ERR_CONFIG', 'double')
})

test('windows are resolved as in transformers', (t) => {
  const windows = (name: string, changes: Record<string, unknown>) => [...config(changes, name)().slidingWindows]
  t.deepEqual(windows('mistral', { sliding_window: undefined }), [4096, 4096])
  t.deepEqual(windows('mistral', { sliding_window: null }), [0, 0])
  t.deepEqual(windows('mistral', { sliding_window: 5 }), [5, 5])
  const mixed = ['full_attention', 'sliding_attention']
  t.deepEqual(windows('mistral', { sliding_window: 5, layer_types: mixed }), [0, 5])
  t.deepEqual(windows('mistral', { sliding_window: 5, layer_types: null }), [5, 5])
  t.deepEqual(windows('llama', { sliding_window: 5 }), [0, 0])
  t.deepEqual(windows('qwen2', { use_sliding_window: false, sliding_window: 5 }), [0, 0])
  const qwen = { use_sliding_window: true, max_window_layers: 1, sliding_window: 5 }
  t.deepEqual(windows('qwen2', qwen), [0, 5])
  t.deepEqual(windows('qwen2', { ...qwen, sliding_window: undefined }), [0, 4096])
  t.deepEqual(windows('qwen2', { ...qwen, layer_types: ['sliding_attention', 'full_attention'] }), [5, 0])
})

for (const field of ['attn_logit_softcapping', 'final_logit_softcapping', 'use_bidirectional_attention'])
  test(`gemma 3 with ${field} is not computed, and said so`, (t) => {
    const error = t.throws(config({ [field]: field.startsWith('use') ? true : 30 }, 'gemma3'), {
      code: 'ERR_MODEL_UNSUPPORTED',
    })
    t.true(error?.message.includes(`"${field}"`), error?.message)
  })

test('gemma 3: layers, both rotary settings and scales are resolved as in transformers', (t) => {
  const parsed = config({}, 'gemma3')()
  t.deepEqual([...parsed.slidingWindows], [8, 8, 0])
  t.deepEqual([parsed.rope.type, parsed.rope.theta, parsed.rope.factor], ['linear', 1e5, 4])
  t.deepEqual([parsed.slidingRope?.type, parsed.slidingRope?.theta], ['default', 1000])
  t.is(parsed.queryScalar, 24)
  t.true(parsed.tieWordEmbeddings)
  const bare = { head_dim: undefined, query_pre_attn_scalar: undefined, sliding_window_pattern: undefined }
  const ropes = { rope_theta: undefined, rope_local_base_freq: undefined, rope_scaling: undefined }
  const published = config({ ...bare, ...ropes, sliding_window: undefined, num_hidden_layers: 7 }, 'gemma3')()
  t.deepEqual([...published.slidingWindows], [4096, 4096, 4096, 4096, 4096, 0, 4096])
  t.deepEqual([published.rope.theta, published.slidingRope?.theta], [1e6, 1e4])
  t.deepEqual([published.headDim, published.queryScalar], [256, 256])
  t.deepEqual(config({}, 'qwen3-tied')().slidingRope, null)
  const code = 'ERR_MODEL_FORMAT'
  t.throws(config({ sliding_window: null }, 'gemma3'), { code, message: /"sliding_window"/ })
  t.throws(config({ rope_parameters: { rope_type: 'default' } }, 'gemma3'), { code, message: /"rope_parameters"/ })
  for (const sliding_window_pattern of [0, -1, 1.5])
    t.throws(config({ sliding_window_pattern }, 'gemma3'), { code, message: /"sliding_window_pattern"/ })
  for (const rope_local_base_freq of [0, -1])
    t.throws(config({ rope_local_base_freq }, 'gemma3'), { code, message: /"rope_local_base_freq"/ })
  t.throws(config({ rope_parameters: { full_attention: 5 } }, 'gemma3'), { code, message: /"full_attention"/ })
  const conflict = { full_attention: {}, sliding_attention: { rope_theta: 5 } }
  t.throws(config({ rope_parameters: conflict }, 'gemma3'), { code, message: /"rope_local_base_freq"/ })
})

test('fields that may be missing have the defaults of transformers', (t) => {
  const parsed = config({ num_key_value_heads: undefined, rope_theta: undefined, rms_norm_eps: undefined }, 'llama')()
  t.is(parsed.numKvHeads, parsed.numHeads)
  t.is(parsed.rope.theta, 10000)
  t.is(parsed.rmsNormEps, 1e-6)
  t.is(config({ head_dim: undefined }, 'llama')().headDim, 16)
  t.is(config({ head_dim: undefined })().headDim, 128)
})

test('both spellings of the rope settings are fine where they say the same', (t) => {
  const linear = { rope_type: 'linear', factor: 4, rope_theta: 1e4 }
  const both = config({ rope_parameters: linear, rope_scaling: { type: 'linear', factor: 4 } })()
  t.deepEqual(both.rope, config({ rope_parameters: linear })().rope)
  t.deepEqual(config({ rope_parameters: {}, rope_scaling: linear })().rope, both.rope)
  t.notThrows(config({ rope_scaling: {} }))
  t.notThrows(config({ rope_scaling: null }))
})

test('numbers that JSON cannot write are shown by their names', (t) => {
  const json = readGolden<Record<string, unknown>>('qwen3-tied/config.json')
  const text = JSON.stringify({ ...json, vocab_size: 'HERE' }).replace('"HERE"', '1e400')
  t.throws(() => parseModelConfig(JSON.parse(text), 'f'), { message: /"vocab_size" but received Infinity/ })
})
