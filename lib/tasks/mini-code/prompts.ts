/**
 * What the agents of mini-code read: plain text that a tiny model has been trained on, always a problem, code that is there
 * already, and a comment that says what to write next. Written code that is shown keeps its printable ASCII only.
 */
import { signalLines, type TurnFacts } from './feedback.ts'
import { describe, type Problem } from './grammar.ts'
import type { MiniCodeFeedback } from './options.ts'

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

/** The prompt of one agent that is shown what the other one wrote: the problem, that code, then as {@link agentPrompt}. */
export function shownPrompt(prompt: string, agent: number, code: string): string {
  return agentPrompt(`${prompt}${shownCode(code)}`, agent)
}

/** The prompt of one model that writes the entry point without a helper. */
export function alonePrompt(prompt: string): string {
  return `${prompt}# write solve alone\n`
}

/**
 * The prompt of a later turn: the first turn's, the agent's own last answer, what `feedback` tells of the joint program, and a
 * comment that asks for the function again. Nothing of earlier turns and nothing the other agent wrote.
 */
export function revisionPrompt(
  prompt: string,
  agent: number,
  answer: string,
  feedback: MiniCodeFeedback,
  facts: TurnFacts,
): string {
  const signals = signalLines(feedback, agent, facts).map((line) => `# ${line}\n`)
  return `${agentPrompt(prompt, agent)}${shownCode(answer)}${signals.join('')}# write ${functions[agent]} again\n`
}

/** Code on lines of its own, without fences; what is no printable ASCII would take several tokens a character. */
function shownCode(text: string): string {
  const code = text
    .replace(/^\s*```.*$\n?/gm, '')
    .replace(/[^\n -~]/g, '?')
    .trim()
  return code === '' ? '' : `${code}\n`
}
