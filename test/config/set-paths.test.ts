import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { applySetting, parseSetting } from '../../lib/config/set-paths.ts'

const set = (config: unknown, text: string) => applySetting(config, parseSetting(text))

test('values are YAML', (t) => {
  t.deepEqual(set({}, 'a.b=3'), { a: { b: 3 } })
  t.deepEqual(set({ a: { c: 1 } }, 'a.b=[x, 2, true]'), { a: { c: 1, b: ['x', 2, true] } })
  t.deepEqual(set({}, 'a=some text = more'), { a: 'some text = more' })
})

test('numbers walk into lists, null removes', (t) => {
  t.deepEqual(set({ stop: ['a', 'b'] }, 'stop.1=c'), { stop: ['a', 'c'] })
  t.deepEqual(set(set({}, 'team.agents.0=a'), 'team.agents.1=b'), { team: { agents: ['a', 'b'] } })
  t.deepEqual(set({ a: null }, 'a.0.b=1'), { a: [{ b: 1 }] })
  t.deepEqual(set({ a: 1 }, 'a=""'), { a: '' })
  t.deepEqual(set({ a: 1, b: 2 }, 'a=null'), { b: 2 })
})

test('the configuration given is not changed, and prototypes are out of reach', (t) => {
  const config = { a: { b: 1 } }
  set(config, 'a.b=2')
  t.is(config.a.b, 1)
  set({}, '__proto__.polluted=1')
  t.is(({} as { polluted?: number }).polluted, undefined)
})

test('mistakes name the path', (t) => {
  for (const text of ['steps', '=1', 'a..b=1'])
    t.regex(t.throws(() => parseSetting(text), { instanceOf: ConfigError })!.message, /path\.to\.key=value/)
  t.regex(t.throws(() => set({ a: 3 }, 'a.b=1'), { instanceOf: ConfigError })!.message, /a\.b: a: 3 has no keys/)
  t.regex(t.throws(() => set({ task: 'x' }, 'task.b=1'))!.message, /replace it whole: 'task=\{name: x, b: \.\.\.\}'/)
  t.regex(t.throws(() => set({ a: [1] }, 'a.5=1'), { instanceOf: ConfigError })!.message, /from 0 to 1/)
  for (const text of ['a.b=', 'a.b= '])
    t.regex(
      t.throws(() => parseSetting(text), { instanceOf: ConfigError })!.message,
      /a\.b: expected a value after "="; null/,
    )
  t.regex(t.throws(() => set({}, 'a.1=1'), { instanceOf: ConfigError })!.message, /from 0 to 0/)
  t.regex(t.throws(() => parseSetting('a=[1'), { instanceOf: ConfigError })!.message, /not YAML/)
})
