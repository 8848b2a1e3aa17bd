/** What the agents of mini-code read. */
import { describe, type Problem } from './grammar.ts'

/** Agent names, in order: the helper's author and the entry point's. */
export const agents = ['aux', 'main'] as const

/** The problem in the form of HumanEval: the entry point's signature and docstring. */
export function humanEvalPrompt(problem: Problem): string {
  return `def solve(xs):\n    """Return ${describe(problem)}."""\n`
}

const functions = ['aux', 'solve']

/** The prompt of one agent: the problem, then a comment that says which function to write. */
export function agentPrompt(prompt: string, agent: number): string {
  return `${prompt}# write ${functions[agent]}\n`
}
