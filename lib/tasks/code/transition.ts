/** What follows a turn of a code task: the agents' next prompts, by feedback mode. */
import { MagrpoError } from '../../base/errors.ts'
import type { Task } from '../task/types.ts'
import { Expert, type ExpertOptions } from './expert.ts'
import { type FeedbackMode, type FeedbackTextOptions, feedbackModes, feedbackPrompt } from './feedback.ts'
import { analyzeTurn, checkSandboxSlice, type SandboxSlice } from './feedback-analysis.ts'
import type { CodeItem } from './item.ts'
import type { CodeReward } from './reward.ts'

/** Settings of `codeTransition`. */
export interface FeedbackOptions extends FeedbackTextOptions {
  /** What agents read after a turn, see docs/tasks/feedback.md. Defaults to `level_feedback`. */
  feedback?: FeedbackMode
  /** Asserts whose results feedback may show: the first so many, all (`0`, `all`), the last so many (negative). Defaults to `1`. */
  sandboxSlice?: SandboxSlice
  /** Whether prompts are user messages that go through the model's chat template (instruct models). Defaults to `false`: plain text. */
  chat?: boolean
  /** Whom `expert_edits` asks; needed for it. */
  expert?: ExpertOptions
}

/**
 * The transition of a code task. It goes on for as many turns as the algorithm has; what ends an episode early is the
 * algorithm's termination threshold.
 *
 * With `expert_edits` it logs, for each joint completion asked about, `expert_failed` (1 if the turn went on without edits)
 * and `expert_retries`.
 *
 * @param reward whose rules and test results the feedback is about
 * @throws MagrpoError `ERR_ARGUMENT` for an unknown mode or slice, or `expert_edits` without an expert
 */
export function codeTransition(
  reward: CodeReward,
  agents: 1 | 2,
  options: FeedbackOptions = {},
): NonNullable<Task<CodeItem>['transition']> {
  const { feedback: mode = 'level_feedback', sandboxSlice = 1 } = options
  if (!feedbackModes.includes(mode))
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `Expected one of ${feedbackModes.join(', ')} as feedback but received ${JSON.stringify(mode)}.`,
    )
  const slice = checkSandboxSlice(sandboxSlice)
  if (mode === 'expert_edits' && options.expert === undefined)
    throw new MagrpoError(
      'ERR_ARGUMENT',
      'Expected the settings of an expert (expert.url and expert.model) for the feedback "expert_edits" but received none.',
    )
  const expert = mode === 'expert_edits' ? new Expert(options.expert!) : null
  return async (item, joint, history, { signal }) => {
    const texts = joint.map(({ text }) => text)
    const analysis = await analyzeTurn(reward, item, texts, slice, signal)
    const { aux, main } = analysis.diagnosis
    const program = [aux?.source, main.source].filter(Boolean).join('\n\n')
    const answer = expert && (await expert.edit(item, program, agents, signal))
    const edits = [...(agents > 1 ? [answer?.edits?.aux] : []), answer?.edits?.main]
    const prompts = joint.map((_, agent) => {
      const text = feedbackPrompt({ mode, item, agent, agents, analysis, history, edit: edits[agent] }, options)
      return asPrompt(text, options.chat)
    })
    if (answer === null) return { prompts }
    return { prompts, metrics: { expert_failed: answer.edits === null ? 1 : 0, expert_retries: answer.retries } }
  }
}

/** A prompt as plain text or as one user message. */
export function asPrompt(text: string, chat = false): ReturnType<Task['observe']> {
  return chat ? [{ role: 'user', content: text }] : text
}
