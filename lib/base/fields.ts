/** Fields of a {@link section}, with messages that say what was expected. Bounds are part of the JSON Schema. */
import { z } from 'zod'

/** Bounds of an {@link integer}, both included. */
interface IntegerBounds {
  from: number
  to?: number
}

/** Bounds of a {@link number}: `from` and `to` included, `above` and `below` not. */
interface NumberBounds {
  from?: number
  above?: number
  to?: number
  below?: number
}

/** Largest seed: seeds are 32-bit. */
const maxSeed = 0xff_ff_ff_ff

/** A whole number. */
export function integer({ from, to }: IntegerBounds): z.ZodInt {
  const error = `expected an integer from ${from} ${to === undefined ? 'up' : `to ${to === maxSeed ? '2^32 - 1' : to}`}`
  const field = z.int({ error }).min(from, { error })
  return to === undefined ? field : field.max(to, { error })
}

/** A finite number. */
export function number({ from, above, to, below }: NumberBounds = {}): z.ZodNumber {
  const low = from !== undefined ? `from ${from} ` : above !== undefined ? `above ${above}` : ''
  const high =
    to !== undefined ? `to ${to}` : below !== undefined ? `to below ${below}` : from !== undefined ? 'up' : ''
  const joined = above !== undefined && high !== '' ? `${low}, up ${high}` : `${low}${high}`
  const error = joined === '' ? 'expected a number' : `expected a number ${joined}`
  let field = z.number({ error })
  if (from !== undefined) field = field.min(from, { error })
  if (above !== undefined) field = field.gt(above, { error })
  if (to !== undefined) field = field.max(to, { error })
  if (below !== undefined) field = field.lt(below, { error })
  return field
}

/** A seed of random numbers. */
export const seed = () => integer({ from: 0, to: maxSeed })

/** A text of at least one character. */
export const text = () =>
  z.string({ error: 'expected text' }).min(1, { error: 'expected text of at least one character' })

/** `true` or `false`. */
export const flag = () => z.boolean({ error: 'expected true or false' })

/** A function, handed on as it is. */
// biome-ignore lint/suspicious/noExplicitAny: functions of all kinds
export const callback = <F extends (...parameters: any[]) => unknown>() =>
  z.custom<F>((value) => typeof value === 'function', { error: 'expected a function' }).optional()

/** What ends a call early. */
export const abortSignal = () =>
  z.custom<AbortSignal>((value) => value instanceof AbortSignal, { error: 'expected an AbortSignal' }).optional()

/** An object that is handed on as it is, such as a model or a sandbox. */
export const handle = <T>(what: string) =>
  z.custom<T>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
    error: `expected ${what}`,
  })

/** A list that is handed on as it is; whoever takes it looks into the entries. */
export const handles = <T>(what: string) =>
  z.custom<readonly T[]>(
    (value) => Array.isArray(value) && value.every((entry) => typeof entry === 'object' && entry !== null),
    { error: `expected a list of ${what}` },
  )

/** A list whose entries are not changed. */
export function list<Entry extends z.ZodType>(
  entry: Entry,
): z.ZodType<readonly z.output<Entry>[], readonly z.input<Entry>[]> {
  return z.array(entry, { error: 'expected a list' }) as unknown as z.ZodType<
    readonly z.output<Entry>[],
    readonly z.input<Entry>[]
  >
}

/** Milliseconds to wait at most. Longer waits overflow setTimeout, which would then fire at once. */
export const milliseconds = () => {
  const error = 'expected milliseconds above 0 and below 2^31'
  return z
    .number({ error })
    .gt(0, { error })
    .lt(2 ** 31, { error })
}

/** A shape whose defaults are left open: see {@link unfilled}. */
type Unfilled<Shape> = {
  [Key in keyof Shape]: Shape[Key] extends z.ZodDefault<infer Field> ? z.ZodOptional<Field> : Shape[Key]
}

/**
 * The same fields without their defaults: what is left out stays out, so that another place can still say what it is. The defaults
 * stay in the JSON Schema.
 */
export function unfilled<Shape extends z.ZodRawShape>(shape: Shape): Unfilled<Shape> {
  const fields = Object.entries(shape).map(([key, field]) => {
    if (!(field instanceof z.ZodDefault)) return [key, field]
    const { defaultValue } = field.def
    return [key, (field.unwrap() as z.ZodType).optional().meta({ default: defaultValue })]
  })
  return Object.fromEntries(fields) as Unfilled<Shape>
}

/** An object without the fields that are there and undefined, so that a default stands where nothing was said. */
export function defined<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>
}
