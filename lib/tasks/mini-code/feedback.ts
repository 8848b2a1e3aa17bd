/**
 * What the agents of mini-code are told after a turn: the feedback modes of the code tasks that need no expert, in short lines.
 */

import type { MiniCodeFeedback } from './options.ts'

/** What is known of a joint program. */
export interface TurnFacts {
  /** `aux` is defined and returns. */
  aux: boolean
  /** The entry point is defined and returns. */
  solve: boolean
  /** The program parses. */
  syntax: boolean
  /** The entry point calls `aux`. */
  usesAux: boolean
  /** How the asserts went; `null` if they were not run. */
  tests: { passed: number; total: number } | null
  /** Of the first assert that failed, such as `TypeError: 'int' object is not iterable`; `null` if none did. */
  error: string | null
  /** The program has full reward. */
  pass: boolean
  /** Why it has not, for people to read; `null` if it has. */
  reason?: string | null
}

/** Longest error that is told, so that prompts stay within the model's context. */
const maxErrorCharacters = 80

/** The lines one agent reads, agent 1's without a word on how the entry point uses `aux`. */
export function signalLines(feedback: MiniCodeFeedback, agent: number, facts: TurnFacts): string[] {
  const own = agent === 0 ? facts.aux : facts.solve
  switch (feedback) {
    case 'plain':
      return []
    case 'passed':
      return [facts.pass ? 'all passed' : 'not all passed']
    case 'level_passed':
      return [levels([`code ${found(own)}`], agent, facts)]
    case 'level_feedback': {
      const line = levels([`aux ${found(facts.aux)}`, `solve ${found(facts.solve)}`], agent, facts)
      return facts.error === null ? [line] : [line, errorLine(facts.error)]
    }
  }
}

const found = (isThere: boolean) => (isThere ? 'found' : 'missing')

function levels(definitions: readonly string[], agent: number, { syntax, tests, usesAux }: TurnFacts): string {
  return [
    ...definitions,
    `syntax ${syntax ? 'right' : 'wrong'}`,
    `tests ${passedTests(tests)}`,
    ...(agent === 0 ? [] : [`aux ${usesAux ? 'used' : 'not used'}`]),
  ].join(', ')
}

function passedTests(tests: TurnFacts['tests']): string {
  if (tests === null) return 'not run'
  const { passed, total } = tests
  return passed === 0 ? 'none passed' : passed === total ? 'all passed' : `${passed} of ${total} passed`
}

function errorLine(error: string): string {
  return error
    .replace(/[^ -~]+/g, ' ')
    .slice(0, maxErrorCharacters)
    .trim()
}
