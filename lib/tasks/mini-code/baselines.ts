/** What the baselines of mini-code read. */
import type { TaskBaselines } from '../task/baselines.ts'
import { agentPrompt, alonePrompt, shownPrompt } from './prompts.ts'

/**
 * Baselines of `mini-code`. The single model writes the entry point without a helper, as in the code tasks; the reward asks for
 * one, so that only its tests say anything. In the discussion both agents adapt to what the other one wrote first.
 */
export const miniCodeBaselines: TaskBaselines<{ prompt: string }> = {
  single: {
    agent: 'main',
    prompt: ({ prompt }) => alonePrompt(prompt),
    split: (text) => ['', text],
  },
  pipeline: ({ prompt }, agent, earlier) =>
    agent === 0 ? agentPrompt(prompt, 0) : shownPrompt(prompt, agent, earlier[0]!.text),
  discussion: ({ prompt }, agent, others) => shownPrompt(prompt, agent, others[0]!.text),
}
