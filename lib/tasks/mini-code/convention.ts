/** Which convention a completion follows, read off its text: for metrics and reports, never for the reward. */
import { type Convention, conventions } from './solutions.ts'

/** A convention, or `other` where none is recognised (broken code, or a new idea). */
type SeenConvention = Convention | 'other'

/** What the helper in agent 1's completion does. */
export function auxConvention(text: string): SeenConvention {
  const expression = /\bdef aux\(\w+\):\s*return (.+)/.exec(text)?.[1]
  if (expression === undefined) return 'other'
  if (/\bfor\b/.test(expression)) return 'list'
  if (/\b(sum|max|min|sorted|set)\(|\w\[/.test(expression)) return 'fold'
  return /[<>]|==/.test(expression) ? 'predicate' : 'transformation'
}

/** What the entry point in agent 2's completion takes the helper for. */
export function mainConvention(text: string): SeenConvention {
  const expression = /\bdef solve\(\w+\):\s*return (.+)/.exec(text)?.[1]
  if (expression === undefined) return 'other'
  if (/\bif aux\(\w+\)/.test(expression)) return 'predicate'
  if (/\baux\(\w+\) for\b/.test(expression)) return 'transformation'
  if (/\baux\(\[/.test(expression)) return 'fold'
  return /\baux\(\w+\)/.test(expression) ? 'list' : 'other'
}

/**
 * Numbers to log for a joint completion, whose means are shares: `convention/aux_<name>` and `convention/main_<name>` are 1
 * for the convention seen in either agent's completion and 0 for the others; `convention/agree` is 1 if both follow the same.
 */
export function conventionMetrics(aux: string, main: string): Record<string, number> {
  const seen = { aux: auxConvention(aux), main: mainConvention(main) }
  const metrics: Record<string, number> = { 'convention/agree': seen.aux === seen.main && seen.aux !== 'other' ? 1 : 0 }
  for (const agent of ['aux', 'main'] as const)
    for (const name of [...conventions, 'other'] as const)
      metrics[`convention/${agent}_${name}`] = seen[agent] === name ? 1 : 0
  return metrics
}

/**
 * Entropy of an agent's choice of convention, in bits (2 if all four are equally frequent, 0 if it always takes the same).
 *
 * @param metrics means of {@link conventionMetrics} over completions; their names may have a prefix
 * @param agent `aux` or `main`
 */
export function conventionEntropy(metrics: Record<string, number>, agent: 'aux' | 'main', prefix = ''): number {
  const shares = [...conventions, 'other'].map((name) => metrics[`${prefix}convention/${agent}_${name}`] ?? 0)
  return shares.reduce((bits, share) => (share > 0 ? bits - share * Math.log2(share) : bits), 0)
}
