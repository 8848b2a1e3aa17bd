import type { CodeItem } from './item.ts'

const outputRules = [
  'Rules for your answer:',
  '- Write the function and nothing else: no explanation, no example, no test.',
  '- No markdown fences and no text before or after the code.',
]

/**
 * What the published prompts become where a problem has no parameters to show, as many of the converted MBPP: a sentence that says
 * so, in the problem's place.
 */
export const noParametersPrompt = 'Error: no function with parameters was found in the problem.'

/** The parameter list of the first `def` of the prompt that has one, or `...`. */
export function parametersOf(prompt: string): string {
  const list = /def\s+\w+\s*\(([^)]+)\)/.exec(prompt)?.[1] ?? ''
  const parameters = list.split(',').map((parameter) => parameter.trim())
  return parameters.filter((parameter) => parameter !== '').join(', ') || '...'
}

/**
 * The prompt of one agent, a plain string for base models: in a team of two, agent 0 is asked for a helper function `aux`
 * and agent 1 for the entry point, which may call it; neither sees the other's work. With one agent it is asked for the
 * entry point alone. The wording is this project's own; what is asked follows the published prompts, except that a prompt
 * without a parameter list is no error.
 *
 * @param item the problem
 * @param agent number of the agent, from 0
 * @param agents how many agents there are, `1` or `2`; defaults to `2`
 */
export function codePrompt(item: CodeItem, agent: number, agents = 2): string {
  const problem = ['The problem:', item.prompt, '']
  if (agents > 1 && agent === 0)
    return [
      'Write a helper function for the coding problem below.',
      '',
      ...problem,
      ...outputRules,
      "- The helper must be called 'aux'. Another programmer writes the main function and can call it.",
      '- It must return data that is of use in solving the problem.',
      '',
      'The form of your answer:',
      '',
      'def aux(...):\n    # your code\n    return result\n',
    ].join('\n')
  const helper =
    agents > 1
      ? [
          "- A helper function aux(...) exists already: you may call it and put its value in a variable. Don't define it again.",
        ]
      : []
  return [
    'Write the function that solves the coding problem below.',
    '',
    ...problem,
    ...outputRules,
    ...helper,
    `- Define only '${item.entry_point}', as the problem asks.`,
    '',
    'The form of your answer:',
    '',
    `def ${item.entry_point}(${parametersOf(item.prompt)}):\n    # your code\n    return result\n`,
  ].join('\n')
}
