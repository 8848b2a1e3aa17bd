/** Tokenizers and chat templates that would take for ever, or all memory, end in an error with a code. */
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { withinTime } from '../../lib/base/within-time.ts'
import { ChatTemplate } from '../../lib/text/chat-template.ts'
import { isBounded, knownPatterns } from '../../lib/text/check-tokenizer.ts'
import { Tokenizer } from '../../lib/text/tokenizer.ts'
import type { TokenizerJson } from '../../lib/text/tokenizer-files.ts'
import { asciiTokenizer } from '../support/tiny-model.ts'
import { golden } from './golden.ts'

const user = { role: 'user' as const, content: 'Hi' }
const ascii = (parts: Record<string, unknown> = {}) => ({ ...asciiTokenizer(), ...parts }) as unknown as TokenizerJson
const open = (parts?: Record<string, unknown>) => new Tokenizer({ tokenizer: ascii(parts), config: {}, where: 'x' })
const isolate = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false })

const templates: Record<string, string> = {
  'loops within loops': '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}',
  'a range of a thousand million': '{% set x = range(1000000000) %}',
  'a range without end': '{% set x = range(0, 5, 0) %}',
  'a text that doubles': "{% set s = namespace(x='ab') %}{% for i in range(60) %}{% set s.x = s.x ~ s.x %}{% endfor %}",
  'a list that doubles': '{% set s = namespace(x=[1]) %}{% for i in range(60) %}{% set s.x = s.x + s.x %}{% endfor %}',
  'a list of lists of lists':
    '{% set s = namespace(x=[1]) %}{% for i in range(60) %}{% set s.x = [s.x, s.x] %}{% endfor %}{{ s.x }}',
  'a wide indentation': "{{ 'a\nb' | indent(500000000) }}",
  'a wide indentation of JSON': '{{ messages | tojson(indent=500000000) }}',
  'a wide indentation in a list': "{{ 'a\nb' | indent(*[500000000]) }}",
  'a value that holds itself': '{% set s = namespace(x=1) %}{% set s.x = s %}{{ s }}',
  'parentheses in parentheses': `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`,
}

for (const [name, source] of Object.entries(templates))
  test.serial(`a chat template is ended: ${name}`, (t) => {
    t.throws(() => new ChatTemplate(source, {}, 'x').render([user]), {
      instanceOf: MagrpoError,
      code: 'ERR_CHAT_TEMPLATE',
    })
  })

test.serial('what took too long is not tried again', (t) => {
  const loop = new ChatTemplate(templates['loops within loops']!, {}, 'x')
  const tokenizer = open({ pre_tokenizer: isolate('(a+)+$') })
  const overruns: (() => unknown)[] = [() => loop.render([user]), () => tokenizer.encode(`${'a'.repeat(40)}!`)]
  for (const overrun of overruns) {
    t.throws(overrun, { message: /did not end within 2 s/ })
    // Within a limit far below that of the work, which would be met if it ran.
    t.throws(() => withinTime(200, overrun), { message: /did not end within 2 s/ })
  }
})

test('a long chat stays within the limits', (t) => {
  const source =
    '{% for m in messages %}{% if loop.index0 % 2 == 0 %}{{ m.role + m.content | trim }}{% endif %}{% endfor %}'
  const messages = Array.from({ length: 2000 }, () => ({ ...user, content: 'word '.repeat(1000) }))
  t.is(new ChatTemplate(source, {}, 'x').render(messages).length, 1000 * (4 + 4999))
})

const tokenizers: Record<string, Record<string, unknown>> = {
  'a pattern with repetitions of repetitions': { pre_tokenizer: isolate('(a+)+$') },
  'a pattern with many repetitions': { pre_tokenizer: isolate(`${'a*'.repeat(12)}b`) },
  'replacements that multiply': {
    normalizer: {
      type: 'Sequence',
      normalizers: Array(40).fill({ type: 'Replace', pattern: { String: 'a' }, content: 'aa' }),
    },
  },
  'bytes of bytes of bytes': {
    pre_tokenizer: { type: 'Sequence', pretokenizers: Array(40).fill({ type: 'ByteLevel', use_regex: false }) },
    normalizer: { type: 'Prepend', prepend: 'é' },
  },
  'a template that repeats the text': {
    post_processor: {
      type: 'Sequence',
      processors: Array(40).fill({
        type: 'TemplateProcessing',
        single: Array(9).fill({ Sequence: { id: 'A', type_id: 0 } }),
        pair: [],
      }),
    },
  },
}

for (const [name, parts] of Object.entries(tokenizers))
  test.serial(`a tokenizer is ended: ${name}`, (t) => {
    const tokenizer = open(parts)
    const text = `${'a'.repeat(40)}!`
    t.throws(() => tokenizer.encode(text), { instanceOf: MagrpoError, code: 'ERR_MODEL_FORMAT' })
  })

test.serial('a decoder is ended', (t) => {
  const decoder = {
    type: 'Sequence',
    decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: { Regex: '(a+)+$' }, content: '' }],
  }
  const tokenizer = open({ decoder })
  const ids = tokenizer.encode(`${'a'.repeat(40)}!`)
  t.throws(() => tokenizer.decode(ids), { instanceOf: MagrpoError, code: 'ERR_MODEL_FORMAT' })
})

const damaged: [field: string, parts: Record<string, unknown>][] = [
  ['added_tokens', { added_tokens: 'x' }],
  ['added_tokens', { added_tokens: [null] }],
  ['added_tokens', { added_tokens: [{ id: 1e8, content: 'x' }] }],
  ['added_tokens', { added_tokens: [{ id: 2 ** 32 + 5, content: 'x' }] }],
  ['added_tokens', { added_tokens: [{ id: 1.5, content: 'x' }] }],
  ['model.vocab', { model: { type: 'BPE', vocab: { a: 1e8 }, merges: [] } }],
  ['model.vocab', { model: { type: 'BPE', vocab: { a: -1 }, merges: [] } }],
  ['model.vocab', { model: { type: 'BPE', vocab: 'abc', merges: [] } }],
  ['model.vocab', { model: { type: 'Unigram', vocab: [['a']] } }],
  ['model.unk_id', { model: { type: 'Unigram', vocab: [['a', 0]], unk_id: 2 ** 32 } }],
  ['pre_tokenizer.length', { pre_tokenizer: { type: 'FixedLength', length: 0 } }],
  ['pre_tokenizer.pattern', { pre_tokenizer: { type: 'Split', pattern: { Other: 'a' }, behavior: 'Isolated' } }],
  ['normalizer.content', { normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'a'.repeat(1000) } }],
]

for (const [field, parts] of damaged)
  test(`refused before memory is taken: ${field}, ${JSON.stringify(parts).slice(0, 90)}`, (t) => {
    const error = t.throws(() => open(parts), { instanceOf: MagrpoError, code: 'ERR_MODEL_FORMAT' })
    t.is((error as MagrpoError).details.field, field)
  })

test('a token without an id is an error, not id 0', (t) => {
  const single = [{ SpecialToken: { id: '<none>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }]
  const tokenizer = open({ post_processor: { type: 'TemplateProcessing', single, pair: single, special_tokens: {} } })
  t.throws(() => tokenizer.encode('a'), { code: 'ERR_MODEL_FORMAT', message: /no id/ })
})

test('the tokenizers of the golden values need no limit', (t) => {
  for (const [name, { tokenizer }] of Object.entries(golden.tokenizers)) t.true(isBounded(tokenizer), name)
})

test.serial('known patterns go over long texts of every kind', (t) => {
  const runs = ['a', 'A', ' ', '\n', '\r', '1', '!', 'é', '\u0301', "'", ' \n', 'aA', ' a', '!\n', '中', ' !']
  for (const pattern of knownPatterns) {
    const tokenizer = open({ pre_tokenizer: isolate(pattern) })
    for (const run of runs)
      for (const end of ['', 'x'])
        t.notThrows(() => withinTime(10_000, () => tokenizer.encode(run.repeat(2000) + end)), pattern)
  }
})
