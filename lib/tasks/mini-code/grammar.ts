/**
 * The grammar of mini-code: predicate x transformation x fold over a list of integers, each with English, Python and an
 * evaluator of its own. The evaluators follow Python: `//` rounds down and `%` takes the sign of the divisor.
 */

/** What an evaluated problem returns: an integer or a list of integers. */
export type Value = number | number[]

/** Which elements count. */
export interface Predicate {
  /** Stable name, as items carry it. */
  id: string
  /** Plural English, such as `even numbers`. */
  text: string
  /** Python condition on `x`. */
  code: string
  test(x: number): boolean
}

/** What becomes of each element that counts. */
export interface Transformation {
  id: string
  /** English that goes before "the even numbers", such as `the squares of`. */
  text: string
  /** Python expression of `x`. */
  code: string
  apply(x: number): number
}

/** What becomes of the transformed elements together. */
export interface Fold {
  id: string
  /** English that goes before the transformation's text, such as `the sum of`. */
  text: string
  /** Python expression of a list, given the list's own expression. */
  code(list: string): string
  /** The value, or `undefined` where Python raises (the largest of an empty list). */
  apply(values: number[]): Value | undefined
}

/** Python's `a % b` for integers, b > 0. */
export function modulo(a: number, b: number): number {
  return ((a % b) + b) % b
}

/** Python's `a // b` for integers, b > 0. */
export function floorDivide(a: number, b: number): number {
  return (a - modulo(a, b)) / b
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const predicate = (id: string, text: string, code: string, test: (x: number) => boolean): Predicate => ({
  id,
  text,
  code,
  test,
})
const remainder = (text: string, k: number, rest: number): Predicate =>
  predicate(`mod-${k}-${rest}`, text, `x % ${k} == ${rest}`, (x) => modulo(x, k) === rest)

/** All predicates; no two agree on every integer. */
export const predicates: readonly Predicate[] = [
  remainder('even numbers', 2, 0),
  remainder('odd numbers', 2, 1),
  predicate('positive', 'positive numbers', 'x > 0', (x) => x > 0),
  predicate('negative', 'negative numbers', 'x < 0', (x) => x < 0),
  ...range(1, 9).map((k) => predicate(`above-${k}`, `numbers above ${k}`, `x > ${k}`, (x) => x > k)),
  ...range(1, 9).map((k) => predicate(`below-${k}`, `numbers below ${k}`, `x < ${k}`, (x) => x < k)),
  ...range(3, 9).map((k) => remainder(`multiples of ${k}`, k, 0)),
  ...range(3, 5).flatMap((k) => range(1, k - 1).map((r) => remainder(`numbers that are ${r} modulo ${k}`, k, r))),
]

const transformation = (id: string, text: string, code: string, apply: (x: number) => number): Transformation => ({
  id,
  text,
  code,
  apply,
})

/** All transformations; no two agree on every integer, and none leaves every integer as it is. */
export const transformations: readonly Transformation[] = [
  transformation('square', 'the squares of', 'x * x', (x) => x * x),
  transformation('cube', 'the cubes of', 'x ** 3', (x) => x ** 3),
  // Not -x, which would make a negative zero of 0.
  transformation('negative', 'the negatives of', '-x', (x) => 0 - x),
  transformation('absolute', 'the absolute values of', 'abs(x)', (x) => Math.abs(x)),
  ...range(2, 9).map((k) => transformation(`times-${k}`, `${k} times`, `x * ${k}`, (x) => x * k)),
  ...range(1, 9).map((k) => transformation(`plus-${k}`, `${k} more than`, `x + ${k}`, (x) => x + k)),
  ...range(1, 9).map((k) => transformation(`minus-${k}`, `${k} less than`, `x - ${k}`, (x) => x - k)),
  ...range(2, 5).map((k) =>
    transformation(`quotient-${k}`, `the whole quotients by ${k} of`, `x // ${k}`, (x) => floorDivide(x, k)),
  ),
  ...range(1, 9).map((k) => transformation(`from-${k}`, `${k} minus`, `${k} - x`, (x) => k - x)),
]

const extreme = (values: number[], best: (...numbers: number[]) => number): number | undefined =>
  values.length === 0 ? undefined : best(...values)
const ascending = (values: number[]): number[] => [...values].sort((a, b) => a - b)
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0)

/** All folds. */
export const folds: readonly Fold[] = [
  { id: 'sum', text: 'the sum of', code: (list) => `sum(${list})`, apply: sum },
  { id: 'max', text: 'the largest of', code: (list) => `max(${list})`, apply: (values) => extreme(values, Math.max) },
  { id: 'min', text: 'the smallest of', code: (list) => `min(${list})`, apply: (values) => extreme(values, Math.min) },
  { id: 'first', text: 'the first of', code: (list) => `${list}[0]`, apply: (values) => values[0] },
  { id: 'last', text: 'the last of', code: (list) => `${list}[-1]`, apply: (values) => values.at(-1) },
  { id: 'sorted', text: 'the sorted list of', code: (list) => `sorted(${list})`, apply: ascending },
  {
    id: 'reversed',
    text: 'the reversed list of',
    code: (list) => `${list}[::-1]`,
    apply: (values) => [...values].reverse(),
  },
  {
    id: 'distinct',
    text: 'the sum without repeats of',
    code: (list) => `sum(set(${list}))`,
    apply: (values) => sum(new Set(values)),
  },
]

/** One problem of the grammar. */
export interface Problem {
  predicate: Predicate
  transformation: Transformation
  fold: Fold
}

/** The value Python gives for `problem` on `list`, or `undefined` where it raises. */
export function evaluate(problem: Problem, list: readonly number[]): Value | undefined {
  return problem.fold.apply(list.filter(problem.predicate.test).map(problem.transformation.apply))
}

/** The problem in English, such as `the sum of the squares of the even numbers`. */
export function describe({ predicate, transformation, fold }: Problem): string {
  return `${fold.text} ${transformation.text} the ${predicate.text}`
}
