/**
 * Correct solutions of mini-code problems in four conventions about what the helper does, and the supervised mix of them.
 * Every entry point calls the helper and fails with a helper of any other convention.
 */
import type { Problem } from './grammar.ts'
import { seededRandom } from './random.ts'

/** What `aux` does: tests an element, transforms an element, filters and transforms a list, or folds a list. */
export const conventions = ['predicate', 'transformation', 'list', 'fold'] as const

/** One of {@link conventions}. */
export type Convention = (typeof conventions)[number]

/** Agent 1's function, `aux`, under a convention. */
export function auxSolution({ predicate, transformation, fold }: Problem, convention: Convention): string {
  switch (convention) {
    case 'predicate':
      return define('aux', 'x', predicate.code)
    case 'transformation':
      return define('aux', 'x', transformation.code)
    case 'list':
      return define('aux', 'xs', comprehension(transformation.code, predicate.code))
    case 'fold':
      return define('aux', 'xs', fold.code('xs'))
  }
}

/** Agent 2's function, the entry point `solve`, for a helper that follows `convention`. */
export function mainSolution({ predicate, transformation, fold }: Problem, convention: Convention): string {
  switch (convention) {
    case 'predicate':
      return define('solve', 'xs', fold.code(comprehension(transformation.code, 'aux(x)')))
    case 'transformation':
      return define('solve', 'xs', fold.code(comprehension('aux(x)', predicate.code)))
    case 'list':
      return define('solve', 'xs', fold.code('aux(xs)'))
    case 'fold':
      return define('solve', 'xs', `aux(${comprehension(transformation.code, predicate.code)})`)
  }
}

function define(name: string, parameter: string, expression: string): string {
  return `def ${name}(${parameter}):\n    return ${expression}`
}

function comprehension(element: string, condition: string): string {
  return `[${element} for x in xs if ${condition}]`
}

/** One line of the supervised mix: a problem, who writes, and what is written. */
export interface SupervisedSample {
  problem: Problem
  /** 0 writes `aux`, 1 the entry point. */
  agent: number
  convention: Convention
  completion: string
}

/**
 * Samples for supervised training without end: problem, agent and convention are drawn independently and uniformly, so
 * that a model of them knows every convention, prefers none, and says nothing about its partner's choice.
 */
export function* supervisedSamples(problems: readonly Problem[], seed: number): Generator<SupervisedSample, never> {
  const random = seededRandom(seed)
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
  for (;;) {
    const problem = pick(problems)
    const agent = random() < 0.5 ? 0 : 1
    const convention = pick(conventions)
    const completion = agent === 0 ? auxSolution(problem, convention) : mainSolution(problem, convention)
    yield { problem, agent, convention, completion }
  }
}
