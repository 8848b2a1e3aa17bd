import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { Tokenizer } from '../../lib/text/tokenizer.ts'
import { golden } from './golden.ts'

const { tokenizer: tokenizerJson, config } = golden.tokenizers['llama2-like'] as (typeof golden.tokenizers)[string]
const user = { role: 'user' as const, content: 'x' }

/** A model folder with these files; objects are written as JSON. */
async function folder(t: ExecutionContext, files: Record<string, unknown>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'magrpo-tokenizer-'))
  t.teardown(() => rm(path, { recursive: true }))
  for (const [name, content] of Object.entries(files))
    await writeFile(join(path, name), typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

async function failure(t: ExecutionContext, path: string, code: string): Promise<string> {
  const error = await t.throwsAsync(Tokenizer.load(path), { instanceOf: MagrpoError })
  t.is(error.code, code as MagrpoError['code'])
  return error.message
}

test('a folder without tokenizer.json is an error that says what to do', async (t) => {
  t.regex(
    await failure(t, await folder(t, {}), 'ERR_TOKENIZER_MISSING'),
    /Expected a tokenizer\.json in .*save_pretrained/,
  )
  await failure(t, join(tmpdir(), 'magrpo-no-such-folder'), 'ERR_TOKENIZER_MISSING')
})

test('broken files are errors that name the file', async (t) => {
  const broken = async (files: Record<string, unknown>) => failure(t, await folder(t, files), 'ERR_MODEL_FORMAT')
  t.regex(await broken({ 'tokenizer.json': '{"model"' }), /tokenizer\.json is not JSON/)
  t.regex(await broken({ 'tokenizer.json': '[]' }), /Expected a JSON object/)
  t.regex(await broken({ 'tokenizer.json': {} }), /expected a field "model"/)
  t.regex(
    await broken({ 'tokenizer.json': { model: { type: 'Odd', vocab: {} } } }),
    /tokenizer\.json: expected a model of type BPE/,
  )
  t.regex(
    await broken({ 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': '{' }),
    /tokenizer_config\.json is not JSON/,
  )
  const path = await folder(t, {})
  await mkdir(join(path, 'tokenizer.json'))
  t.regex(await failure(t, path, 'ERR_MODEL_FORMAT'), /is a folder/)
})

test('special tokens come from the configuration, as texts or objects, or from the older file', async (t) => {
  const load = async (files: object) => Tokenizer.load(await folder(t, { 'tokenizer.json': tokenizerJson, ...files }))
  t.deepEqual((await load({})).special, {})
  const texts = await load({
    'tokenizer_config.json': { bos_token: '<s>', eos_token: { content: '</s>' }, pad_token: null },
  })
  t.deepEqual(texts.special, { bos: 1, eos: 2 })
  t.deepEqual((await load({ 'special_tokens_map.json': { unk_token: '<unk>' } })).special, { unk: 0 })
  const byName = await load({ 'tokenizer_config.json': { eos_token: '▁t' } })
  t.true(byName.specialIds.has(byName.special.eos as number))
})

test('add_bos_token and add_eos_token decide about the boundary tokens', async (t) => {
  const ids = async (settings: object) => {
    const files = { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': { ...config, ...settings } }
    return [...(await Tokenizer.load(await folder(t, files))).encode('')]
  }
  t.deepEqual(await ids({}), [1])
  t.deepEqual(await ids({ add_bos_token: false }), [])
  t.deepEqual(await ids({ add_bos_token: true, add_eos_token: true }), [1, 2])
  t.deepEqual(await ids({ add_eos_token: true }), [2])
  const files = { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': { add_bos_token: true } }
  t.regex(
    await failure(t, await folder(t, files), 'ERR_MODEL_FORMAT'),
    /add_bos_token is true, but there is no bos_token/,
  )
})

test('the chat template is read from its own file, or from the configuration', async (t) => {
  const render = async (files: object) => {
    const tokenizer = await Tokenizer.load(await folder(t, { 'tokenizer.json': tokenizerJson, ...files }))
    return tokenizer.hasChatTemplate ? tokenizer.renderChat([user]) : undefined
  }
  t.is(await render({}), undefined)
  t.is(
    await render({ 'tokenizer_config.json': { bos_token: '<s>', chat_template: '{{ bos_token }}config' } }),
    '<s>config',
  )
  const several = [
    { name: 'tools', template: 'tools' },
    { name: 'default', template: 'default' },
  ]
  t.is(await render({ 'tokenizer_config.json': { chat_template: several } }), 'default')
  t.is(await render({ 'chat_template.jinja': 'file', 'tokenizer_config.json': { chat_template: 'config' } }), 'file')
})

test('ids without a token and no ids at all decode to nothing', async (t) => {
  const tokenizer = await Tokenizer.load(await folder(t, { 'tokenizer.json': tokenizerJson }))
  t.is(tokenizer.decode([]), '')
  t.is(tokenizer.decode([-1, 1e6, tokenizer.vocabSize]), '')
  t.is(tokenizer.idToToken(tokenizer.tokenToId('▁t') as number), '▁t')
  t.is(tokenizer.tokenToId('no such token'), undefined)
})
