import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { inBatches } from '../../lib/cli/batches.ts'
import { type InputLine, idsField, readJsonLines } from '../../lib/cli/json-lines-input.ts'

async function* chunks(...parts: (string | Uint8Array)[]) {
  for (const part of parts) yield part
}

async function linesOf(...parts: (string | Uint8Array)[]): Promise<InputLine[]> {
  const lines: InputLine[] = []
  for await (const line of readJsonLines(chunks(...parts))) lines.push(line)
  return lines
}

test('lines may be cut anywhere; empty ones count; the last needs no line feed', async (t) => {
  const bytes = new TextEncoder().encode('{"a":"é"}\r\n\n{"b":"x\u2028y"}')
  const expected = [
    { line: 1, value: { a: 'é' } },
    { line: 3, value: { b: 'x\u2028y' } },
  ]
  for (let cut = 0; cut <= bytes.length; cut++)
    t.deepEqual(await linesOf(bytes.slice(0, cut), bytes.slice(cut)), expected)
  t.deepEqual(await linesOf(), [])
})

test('a broken line is named', async (t) => {
  const fail = (...parts: (string | Uint8Array)[]) => t.throwsAsync(linesOf(...parts), { instanceOf: MagrpoError })
  const broken = await fail('{"a":1}\n{"a":\n')
  t.is(broken.code, 'ERR_DATA')
  t.is(broken.details.line, 2)
  t.regex(broken.message, /^Input line 2: expected a JSON object but received \{"a":/)
  t.regex((await fail('[1]')).message, /^Input line 1: expected a JSON object but received \[1\]/)
  t.regex((await fail('{}\n', Uint8Array.of(0xff, 0x0a))).message, /^Input line 2: .*not valid UTF-8/)
})

test('token ids are whole numbers from 0 up', (t) => {
  const ids = (value: unknown) => idsField({ line: 7, value: { ids: value } }, 'ids')
  t.deepEqual(ids([0, 5]), Int32Array.of(0, 5))
  t.deepEqual(ids([]), new Int32Array())
  for (const wrong of [undefined, 'x', [1.5], [-1], [2 ** 31], ['1'], [null]])
    t.regex(t.throws(() => ids(wrong), { instanceOf: MagrpoError }).message, /^Input line 7: expected .* in "ids"/)
})

test('batches are cut by count, results keep their order', async (t) => {
  const sizes: number[] = []
  const results: unknown[] = []
  const compute = async (batch: InputLine[]) => {
    sizes.push(batch.length)
    return batch.map(({ value }) => value.n)
  }
  const input = Array.from({ length: 7 }, (_, n) => `{"n":${n}}\n`).join('')
  await inBatches(readJsonLines(chunks(input)), 3, compute, async (result) => void results.push(result))
  t.deepEqual(sizes, [3, 3, 1])
  t.deepEqual(results, [0, 1, 2, 3, 4, 5, 6])
})

test('a line that cannot be computed is named after the results before it', async (t) => {
  const results: unknown[] = []
  const compute = async (batch: InputLine[]) => {
    if (batch.some(({ value }) => value.n === 2)) throw new MagrpoError('ERR_TOKEN_RANGE', 'Token id 99 is too large.')
    return batch.map(({ value }) => value.n)
  }
  const input = Array.from({ length: 5 }, (_, n) => `{"n":${n}}\n`).join('')
  const run = inBatches(readJsonLines(chunks(input)), 4, compute, async (result) => void results.push(result))
  const error = await t.throwsAsync(run, { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_TOKEN_RANGE')
  t.is(error.message, 'Input line 3: Token id 99 is too large.')
  t.deepEqual(results, [0, 1])
})

test('lines before a broken one are computed', async (t) => {
  const results: unknown[] = []
  const compute = async (batch: InputLine[]) => batch.map(({ value }) => value.n)
  const run = inBatches(readJsonLines(chunks('{"n":1}\nx\n')), 4, compute, async (result) => void results.push(result))
  await t.throwsAsync(run, { message: /^Input line 2/ })
  t.deepEqual(results, [1])
})
