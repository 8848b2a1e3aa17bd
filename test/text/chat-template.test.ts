import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { ChatTemplate, formatTime } from '../../lib/text/chat-template.ts'
import { golden, goldenTokenizer } from './golden.ts'

for (const [name, { chats }] of Object.entries(golden.tokenizers))
  for (const [kind, { template, cases }] of Object.entries(chats))
    test(`${name}, ${kind}: chats are those of transformers`, (t) => {
      const tokenizer = goldenTokenizer(name, template)
      t.true(tokenizer.hasChatTemplate)
      for (const { messages, addGenerationPrompt, variables, text, ids, error } of cases) {
        const options = { addGenerationPrompt, variables }
        if (text !== undefined) {
          t.is(tokenizer.renderChat(messages, options), text)
          t.deepEqual([...tokenizer.encodeChat(messages, options)], ids)
        } else {
          const thrown = t.throws(() => tokenizer.encodeChat(messages, options), { instanceOf: MagrpoError })
          t.is(thrown.code, 'ERR_CHAT_TEMPLATE')
          t.true(thrown.message.includes(error as string), thrown.message)
        }
      }
    })

const user = { role: 'user' as const, content: 'Hi' }

test('the generation prompt is added unless told otherwise', (t) => {
  const template = new ChatTemplate('{{ messages[0].content }}{% if add_generation_prompt %}>{% endif %}', {}, 'x')
  t.is(template.render([user]), 'Hi>')
  t.is(template.render([user], { addGenerationPrompt: false }), 'Hi')
})

test('templates can ask for the date', (t) => {
  const template = new ChatTemplate('{{ strftime_now("%d %b %Y, %A %H:%M:%S %% %q") }}', {}, 'x')
  t.is(template.render([user], { now: new Date(2026, 2, 5, 7, 8, 9) }), '05 Mar 2026, Thursday 07:08:09 % %q')
  t.is(formatTime(new Date(2009, 11, 31), '%a %B %y-%m'), 'Thu December 09-12')
})

test('templates have constants and range', (t) => {
  const source = '{% for i in range(1, 8, 3) %}{{ i }},{% endfor %}{% for i in range(2) %}{{ i }}{% endfor %}'
  t.is(new ChatTemplate(source, {}, 'x').render([user]), '1,4,7,01')
  t.is(
    new ChatTemplate('{% if True == true and None is none and not False %}yes{% endif %}', {}, 'x').render([user]),
    'yes',
  )
})

test('variables do not replace the messages', (t) => {
  const template = new ChatTemplate('{{ messages | length }}{{ extra }}{% if tools is none %}!{% endif %}', {}, 'x')
  t.is(template.render([user], { variables: { messages: [], extra: 7 } }), '17!')
})

test('a template that cannot be parsed or is missing is an error that names the model', (t) => {
  const broken = t.throws(() => goldenTokenizer('qwen-like', '{% for %}').renderChat([user]), {
    instanceOf: MagrpoError,
  })
  t.is(broken.code, 'ERR_CHAT_TEMPLATE')
  t.regex(broken.message, /template of qwen-like cannot be parsed/)
  const missing = t.throws(() => goldenTokenizer('qwen-like').encodeChat([user]), { instanceOf: MagrpoError })
  t.is(missing.code, 'ERR_CHAT_TEMPLATE')
  t.regex(missing.message, /has no chat template/)
})
