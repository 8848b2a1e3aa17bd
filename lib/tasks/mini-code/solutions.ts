/**
 * Correct solutions of mini-code problems in four conventions about what the helper does. Every entry point calls the
 * helper and fails with a helper of any other convention.
 */
import type { Problem } from './grammar.ts'

/** What `aux` does: tests an element, transforms an element, filters and transforms a list, or folds a list. */
export const conventions = ['predicate', 'transformation', 'list', 'fold'] as const

/** One of {@link conventions}. */
export type Convention = (typeof conventions)[number]

/**
 * The comment that opens each agent's code. It says what the author takes `aux` to do, before any code depends on it, so that
 * an agent chooses its convention in one place, in the same words for every problem.
 */
const plans: Record<Convention, string> = {
  predicate: '# aux tests',
  transformation: '# aux maps',
  list: '# aux lists',
  fold: '# aux folds',
}

/** Agent 1's code, the function `aux`, under a convention. */
export function auxSolution({ predicate, transformation, fold }: Problem, convention: Convention): string {
  const code = {
    predicate: define('aux', 'x', predicate.code),
    transformation: define('aux', 'x', transformation.code),
    list: define('aux', 'xs', comprehension(transformation.code, predicate.code)),
    fold: define('aux', 'xs', fold.code('xs')),
  }
  return `${plans[convention]}\n${code[convention]}`
}

/** Agent 2's code, the entry point `solve`, for a helper that follows `convention`. */
export function mainSolution({ predicate, transformation, fold }: Problem, convention: Convention): string {
  const expression = {
    predicate: fold.code(comprehension(transformation.code, 'aux(x)')),
    transformation: fold.code(comprehension('aux(x)', predicate.code)),
    list: fold.code('aux(xs)'),
    fold: `aux(${comprehension(transformation.code, predicate.code)})`,
  }
  return `${plans[convention]}\n${define('solve', 'xs', expression[convention])}`
}

/** The entry point without a helper. */
export function aloneSolution({ predicate, transformation, fold }: Problem): string {
  return define('solve', 'xs', fold.code(comprehension(transformation.code, predicate.code)))
}

function define(name: string, parameter: string, expression: string): string {
  return `def ${name}(${parameter}):\n    return ${expression}`
}

function comprehension(element: string, condition: string): string {
  return `[${element} for x in xs if ${condition}]`
}
