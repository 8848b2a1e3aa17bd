/** What the fuzzers share: how many cases from which seed, how inputs are damaged, and what every reader owes for them. */
import { setImmediate } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import fc from 'fast-check'
import { type ErrorCode, MagrpoError } from '../../lib/base/errors.ts'

/** Cases per reader; `npm run test:fuzz` sets more. */
const numRuns = Number(process.env.MAGRPO_FUZZ_CASES ?? 2000)

/** The same cases each time, unless another seed is asked for. */
const seed = Number(process.env.MAGRPO_FUZZ_SEED ?? 71)

/** Far beyond what any case takes, so that a busy machine does not matter. */
const limitMs = 60_000
const limitBytes = 2 ** 30

/**
 * Gives a reader many inputs. It must give a value that `check` accepts, or an error with one of the codes, within bounds of time and
 * memory; a failure shows the input and the seed.
 */
export async function fuzz<Input, Value>(
  t: ExecutionContext,
  {
    inputs,
    read,
    codes,
    check = () => {},
  }: {
    inputs: fc.Arbitrary<Input>
    read(input: Input): Value | Promise<Value>
    codes: readonly ErrorCode[]
    check?(value: Value, input: Input): void
  },
): Promise<void> {
  t.timeout(24 * 3600 * 1000)
  const before = process.memoryUsage().rss
  let values = 0
  await fc.assert(
    fc.asyncProperty(inputs, async (input) => {
      const start = performance.now()
      try {
        const value = await read(input)
        check(value, input)
        values++
      } catch (error) {
        if (!(error instanceof MagrpoError && codes.includes(error.code))) throw error
      }
      const taken = performance.now() - start
      if (taken > limitMs) throw new Error(`took ${taken} ms`)
      const grown = process.memoryUsage.rss() - before
      if (grown > limitBytes) throw new Error(`memory grew by ${grown} bytes`)
      await setImmediate()
    }),
    { numRuns, seed, endOnFailure: true },
  )
  t.log(`${values} of ${numRuns} gave a value`)
  t.true(values > 0, 'some inputs are right')
}

/** Numbers at the edges of what 8, 16, 32, 53 and 64 bits hold. */
const edges = [
  0,
  1,
  -1,
  127,
  255,
  65_535,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 3,
  2 ** 53 - 1,
  2 ** 53,
]

/** Bytes with one to six damages: changed, cut out, doubled, cut off, or numbers at the edges written over them. */
export function damagedBytes(...originals: Uint8Array[]): fc.Arbitrary<Buffer> {
  const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  const damage = fc.record({
    kind: fc.constantFrom('flip', 'flip', 'flip', 'edge', 'cut', 'double', 'insert', 'truncate'),
    at: place,
    length: fc.integer({ min: 1, max: 40 }),
    byte: fc.integer({ min: 0, max: 255 }),
    edge: fc.constantFrom(...edges, 1e8),
  })
  return fc
    .tuple(fc.constantFrom(...originals), fc.array(damage, { minLength: 0, maxLength: 6, size: 'max' }))
    .map(([original, damages]) => {
      let bytes = Buffer.from(original)
      for (const { kind, at, length, byte, edge } of damages) {
        const begin = Math.floor(at * bytes.length)
        const [head, piece] = [bytes.subarray(0, begin), bytes.subarray(begin, begin + length)]
        const tail = bytes.subarray(begin + length)
        if (kind === 'flip' && begin < bytes.length) bytes[begin]! ^= byte
        else if (kind === 'edge' && begin + 8 <= bytes.length) bytes.writeBigInt64LE(BigInt(edge), begin)
        else if (kind === 'cut') bytes = Buffer.concat([head, tail])
        else if (kind === 'double') bytes = Buffer.concat([head, piece, piece, tail])
        else if (kind === 'insert') bytes = Buffer.concat([head, Buffer.alloc(length, byte), piece, tail])
        else if (kind === 'truncate') bytes = Buffer.from(head)
      }
      return bytes
    })
}

/** What nobody writes into a field. */
const hostile: unknown[] = [
  ...edges,
  ...[1.5, -0.5, 1e8, 1e300, Number.MIN_VALUE, null, true, false, '', 'x', '0', '__proto__', '\ud800', '\u0000'],
  ...['y'.repeat(1000), [], {}, [null], [[]], { type: 'x' }, { type: 'Sequence' }, [1e8], ['x', 'x']],
]

/** JSON with up to four fields, wherever they are, replaced, removed, or exchanged for another one of the same value. */
export function damagedJson(...originals: unknown[]): fc.Arbitrary<unknown> {
  const damage = fc.record({
    path: fc.array(fc.nat(), { minLength: 1, maxLength: 8, size: 'max' }),
    kind: fc.constantFrom('replace', 'replace', 'remove', 'copy', 'wrap'),
    value: fc.oneof(fc.constantFrom(...hostile), fc.jsonValue({ maxDepth: 2 })),
  })
  return fc
    .tuple(fc.constantFrom(...originals), fc.array(damage, { minLength: 0, maxLength: 4, size: 'max' }))
    .map(([original, damages]) => {
      const root = { value: structuredClone(original) }
      for (const { path, kind, value } of damages) {
        const { owner, key } = placeOf(root, path)
        if (kind === 'remove') delete owner[key]
        else if (kind === 'wrap') owner[key] = [owner[key], owner[key]]
        else if (kind === 'copy')
          owner[key] = structuredClone(Object.values(owner)[path[0]! % Object.keys(owner).length])
        else owner[key] = structuredClone(value)
      }
      return root.value
    })
}

/** Follows numbers into a value; the last of them, or a value without fields, is where it ends. */
function placeOf(root: { value: unknown }, path: readonly number[]): { owner: Record<string, unknown>; key: string } {
  let [owner, key] = [root as Record<string, unknown>, 'value']
  for (const number of path) {
    const value = owner[key]
    if (typeof value !== 'object' || value === null) break
    const keys = Object.keys(value)
    if (keys.length === 0) break
    owner = value as Record<string, unknown>
    key = keys[number % keys.length]!
  }
  return { owner, key }
}

/** Text of JSON, sometimes damaged as text. */
export function damagedJsonText(...originals: unknown[]): fc.Arbitrary<Buffer> {
  const text = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '')
  return fc.oneof(
    { weight: 4, arbitrary: damagedJson(...originals).map(text) },
    { weight: 1, arbitrary: damagedBytes(...originals.map(text)) },
  )
}
