/** What follows a turn of a code task: the agents' next prompts, by feedback mode. */
import { MagrpoError } from '../../base/errors.ts'
import type { Task } from '../task/types.ts'
import { Expert } from './expert.ts'
import { feedbackPrompt } from './feedback.ts'
import { analyzeTurn } from './feedback-analysis.ts'
import type { CodeItem } from './item.ts'
import type { ExpertOptions, FeedbackSettings } from './options.ts'
import type { CodeReward } from './reward.ts'

/**
 * The transition of a code task. It goes on for as many turns as the algorithm has; what ends an episode early is the
 * algorithm's termination threshold.
 *
 * With `expert_edits` it logs, for each joint completion asked about, `expert_failed` (1 if the turn went on without edits)
 * and `expert_retries`.
 *
 * @param reward whose rules and test results the feedback is about
 * @throws MagrpoError `ERR_ARGUMENT` for `expert_edits` without an expert
 */
export function codeTransition(
  reward: CodeReward,
  settings: FeedbackSettings & { agents: 1 | 2 },
  expertOptions: ExpertOptions | undefined,
): NonNullable<Task<CodeItem>['transition']> {
  const { feedback: mode, sandboxSlice, agents, chat } = settings
  if (mode === 'expert_edits' && expertOptions === undefined)
    throw new MagrpoError(
      'ERR_ARGUMENT',
      'Expected the settings of an expert (expert.url and expert.model) for the feedback "expert_edits" but received none.',
    )
  const expert = mode === 'expert_edits' ? new Expert(expertOptions!) : null
  return async (item, joint, history, { signal }) => {
    const texts = joint.map(({ text }) => text)
    const analysis = await analyzeTurn(reward, item, texts, sandboxSlice, signal)
    const { aux, main } = analysis.diagnosis
    const program = [aux?.source, main.source].filter(Boolean).join('\n\n')
    const answer = expert && (await expert.edit(item, program, agents, signal))
    const edits = [...(agents > 1 ? [answer?.edits?.aux] : []), answer?.edits?.main]
    const prompts = joint.map((_, agent) => {
      const text = feedbackPrompt({ mode, item, agent, agents, analysis, history, edit: edits[agent] }, settings)
      return asPrompt(text, chat)
    })
    if (answer === null) return { prompts }
    return { prompts, metrics: { expert_failed: answer.edits === null ? 1 : 0, expert_retries: answer.retries } }
  }
}

/** A prompt as plain text or as one user message. */
export function asPrompt(text: string, chat: boolean): ReturnType<Task['observe']> {
  return chat ? [{ role: 'user', content: text }] : text
}
