import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { ChatTemplate } from '../../lib/text/chat-template.ts'
import { Tokenizer } from '../../lib/text/tokenizer.ts'
import type { TokenizerConfig, TokenizerJson } from '../../lib/text/tokenizer-files.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiTokenizer } from '../support/tiny-model.ts'
import { golden } from '../text/golden.ts'
import { damagedBytes, damagedJson, damagedJsonText, fuzz } from './fuzz.ts'

const text = 'Hello, wörld 12345  \n\t 中文 <s> aaaaaaaaaaaaaaaa!'
const tokenizers = [...Object.values(golden.tokenizers).map(({ tokenizer }) => tokenizer), asciiTokenizer()]

/** Ids of a text, and the text of ids; all ids must be whole numbers of the vocabulary. */
function useTokenizer(tokenizer: Tokenizer): Int32Array {
  const ids = tokenizer.encode(text)
  if (ids.some((id) => id < 0 || id >= tokenizer.vocabSize)) throw new Error(`an id beyond ${tokenizer.vocabSize}`)
  tokenizer.decode(ids)
  tokenizer.decode([0, 1, 5, 1e9, tokenizer.vocabSize - 1], { skipSpecialTokens: false })
  return ids
}

const codes = ['ERR_MODEL_FORMAT'] as const

test('tokenizer.json', async (t) => {
  await fuzz(t, {
    inputs: fc.tuple(
      damagedJson(...tokenizers),
      damagedJson(...Object.values(golden.tokenizers).map(({ config }) => config)),
    ),
    read: ([tokenizer, config]) => {
      const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
      // Files that hold something else end in the reader, as do those without a model.
      if (!isObject(tokenizer) || !isObject(config) || !isObject((tokenizer as TokenizerJson).model))
        return new Int32Array()
      return useTokenizer(
        new Tokenizer({ tokenizer: tokenizer as TokenizerJson, config: config as TokenizerConfig, where: 'x' }),
      )
    },
    codes,
  })
})

test('the files of a tokenizer', async (t) => {
  const folder = await temporaryFolder(t)
  const { tokenizer, config } = Object.values(golden.tokenizers)[0]!
  const template = [{ name: 'default', template: '{{ messages[0].content }}' }]
  await fuzz(t, {
    inputs: fc.tuple(
      damagedJsonText(asciiTokenizer(), tokenizer),
      damagedJsonText({ ...config, chat_template: template }),
    ),
    read: async ([json, settings]) => {
      writeFileSync(join(folder, 'tokenizer.json'), json)
      writeFileSync(join(folder, 'tokenizer_config.json'), settings)
      const loaded = await Tokenizer.load(folder)
      loaded.renderChat([{ role: 'user', content: text }])
      return useTokenizer(loaded)
    },
    codes: [...codes, 'ERR_CHAT_TEMPLATE'],
  })
})

/** Regular expressions, valid and not, with repetitions of repetitions among them. */
const pattern = fc
  .array(
    fc.constantFrom(
      ...[
        'a',
        'b',
        '.',
        '(a+)+',
        '(a|a)*',
        '(a*)*',
        '\\p{L}+',
        '[^\\s]',
        '\\s+(?!\\S)',
        '|',
        '*',
        '+',
        '?',
        '$',
        '^',
        '(?=a)',
      ],
      ...[
        '{2,}',
        '{3}',
        '(?i:x)',
        '\\b',
        '(',
        ')',
        '[',
        ']',
        '\\',
        '(?<=a)',
        '[[:alpha:]&&[^a]]',
        '\\p{Han}',
        '(?<n>a)\\k<n>',
      ],
    ),
    { minLength: 1, maxLength: 8, size: 'max' },
  )
  .map((parts) => parts.join(''))

test('patterns of tokenizers', async (t) => {
  const part = fc.oneof(
    pattern.map((Regex) => ({
      pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    })),
    fc.tuple(pattern, fc.string({ maxLength: 5 })).map(([Regex, content]) => ({
      normalizer: { type: 'Replace', pattern: { Regex }, content },
      decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: { Regex }, content }] },
    })),
  )
  await fuzz(t, {
    inputs: part,
    read: (parts) => {
      const tokenizer = { ...asciiTokenizer(), ...parts } as unknown as TokenizerJson
      return useTokenizer(new Tokenizer({ tokenizer, config: {}, where: 'x' }))
    },
    codes,
  })
})

const templates = Object.values(golden.tokenizers).flatMap(({ chats }) =>
  Object.values(chats).map(({ template }) => template),
)

/** Templates by their grammar: loops, conditions, macros, filters with sizes, values that hold each other. */
const { program } = fc.letrec<{ program: string; statement: string; expression: string }>((tie) => ({
  program: fc.array(tie('statement'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
  statement: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('expression').map((value) => `{{ ${value} }}`),
    fc.constantFrom(
      'text',
      '{% break %}',
      '{% set n = namespace(x=[1]) %}',
      '{% set n.x = [n, n.x] %}',
      '{{ raise_exception("no") }}',
    ),
    tie('expression').map((value) => `{% set v = ${value} %}`),
    fc.tuple(tie('expression'), tie('program')).map(([value, body]) => `{% for v in ${value} %}${body}{% endfor %}`),
    fc
      .tuple(tie('expression'), tie('program'))
      .map(([value, body]) => `{% if ${value} %}${body}{% else %}no{% endif %}`),
    tie('program').map((body) => `{% macro f(v) %}${body}{{ f(v) }}{% endmacro %}{{ f(1) }}`),
  ),
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(
      'v',
      'messages',
      '1',
      '-7',
      '1e300',
      "'ab\\nc'",
      'none',
      'n',
      'n.x',
      '[1, [2]]',
      "{'a': v}",
      'loop.index',
      'range(9)',
    ),
    fc.integer().map((count) => `range(${count})`),
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom('+', '~', '*', '**', '//', '%', 'in', '==', '<', 'and'),
        tie('expression'),
      )
      .map((parts) => `(${parts.join(' ')})`),
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom(
          'tojson',
          'length',
          'upper',
          'join',
          'sort',
          'items',
          'string',
          'int',
          'first',
          'trim',
          'list',
          'unique',
          'indent(3000000)',
          'tojson(indent=4)',
          "replace('a', v)",
          'map("upper")',
          'selectattr("role")',
        ),
      )
      .map((parts) => parts.join('|')),
    fc.tuple(tie('expression'), tie('expression')).map(([value, index]) => `${value}[${index}:]`),
  ),
}))

test('chat templates', async (t) => {
  const damaged = damagedBytes(...templates.map((template) => Buffer.from(template))).map((bytes) =>
    bytes.toString('utf8'),
  )
  await fuzz(t, {
    inputs: fc.oneof(damaged, program),
    read: (source) => {
      const messages = [
        { role: 'user' as const, content: text },
        { role: 'assistant' as const, content: '' },
      ]
      return new ChatTemplate(source, { bos_token: '<s>', eos_token: '</s>' }, 'x').render(messages)
    },
    codes: ['ERR_CHAT_TEMPLATE'],
    check: (rendered) => {
      if (typeof rendered !== 'string') throw new Error('no text')
    },
  })
})
