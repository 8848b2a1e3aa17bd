/** Baseline prompts of the code tasks: the team's prompts, with what another programmer wrote in front of them. */

import type { TaskBaselines } from '../task/baselines.ts'
import type { CodeItem } from './item.ts'
import { codePrompt } from './prompts.ts'

/** Code as it is shown to another programmer: without fences. */
const shown = (text: string) => text.replace(/^\s*```.*$\n?/gm, '').trim()

/**
 * Baselines of the tasks of the HumanEval form. The single model writes the entry point alone and is scored without a helper.
 *
 * @param agents how many agents the task has, `1` or `2`
 */
export function codeBaselines(agents: number): TaskBaselines<CodeItem> {
  const single: TaskBaselines<CodeItem>['single'] = {
    agent: 'main',
    prompt: (item) => codePrompt(item, 0, 1),
    split: (text) => (agents === 1 ? [text] : ['', text]),
  }
  if (agents === 1) return { single }
  return {
    single,
    pipeline: (item, agent, earlier) =>
      agent === 0
        ? codePrompt(item, 0)
        : `Another programmer has written this helper function:

${shown(earlier[0]!.text)}

Use it well in your own function.

${codePrompt(item, 1)}`,
    discussion: (item, agent, others) =>
      agent === 0
        ? `Another programmer has drafted the main function and expects your helper to fit it:

${shown(others[0]!.text)}

Improve your helper so that this main function can use it.

${codePrompt(item, 0)}`
        : `Another programmer has drafted this helper function:

${shown(others[0]!.text)}

Improve your main function so that it uses the helper well.

${codePrompt(item, 1)}`,
  }
}
