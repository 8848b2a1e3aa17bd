/**
 * What the agents of a code task are told after a turn: five modes, from no signal at all to an expert's edits (the feedback
 * modes of MAGRPO's published code experiments, arXiv 2508.04652; the wording is this project's own).
 *
 * Nobody is shown another agent's code, prompt or answer: diagnostics are of the joint program.
 */

import type { Completion } from '../task/completion.ts'
import type { TurnHistory } from '../task/types.ts'
import type { TurnAnalysis } from './feedback-analysis.ts'
import { compactSignals, detailedSignals, passedSignal } from './feedback-text.ts'
import type { CodeItem } from './item.ts'
import type { FeedbackMode, FeedbackSettings } from './options.ts'

/** What the next prompt of one agent is made of. */
interface FeedbackInput {
  mode: FeedbackMode
  item: CodeItem
  /** Number of the agent, and how many there are: `1` or `2`. */
  agent: number
  agents: number
  analysis: TurnAnalysis
  /** The branch's turns so far, the one just ended last. */
  history: readonly TurnHistory[]
  /** The expert's edit for this agent (`expert_edits`); `null` if there is none. */
  edit?: string | null
}

/** The next prompt of one agent. */
export function feedbackPrompt(
  input: FeedbackInput,
  { originalPrompt, previousResponse }: Pick<FeedbackSettings, 'originalPrompt' | 'previousResponse'>,
): string {
  const sections =
    input.mode === 'level_feedback'
      ? historySections(input)
      : [
          ...(originalPrompt ? [firstPrompt(input)] : []),
          ...(previousResponse ? [`Your previous function:\n\n${previousFunction(input)}`] : []),
        ]
  return `${[...sections, ...signalSections(input), instruction(input)].join('\n\n')}\n`
}

/** The name of the function that an agent writes. */
function functionName({ item, agent, agents }: Pick<FeedbackInput, 'item' | 'agent' | 'agents'>): string {
  return agents > 1 && agent === 0 ? 'aux' : item.entry_point
}

function firstPrompt({ history, agent }: FeedbackInput): string {
  return promptText(history[0]!.prompts[agent]!).trimEnd()
}

/** All turns of one agent, its own prompts and answers only. A later prompt begins with the turns before it: they are not repeated. */
function historySections({ history, agent }: FeedbackInput): string[] {
  const sections: string[] = []
  for (const [turn, { prompts, completions }] of history.entries()) {
    const whole = promptText(prompts[agent]!).trimEnd()
    const before = sections.join('\n\n')
    const news = whole.startsWith(before) ? whole.slice(before.length).trimStart() : whole
    sections.push(
      `Turn ${turn + 1}, what you were asked:\n\n${news}`,
      `Turn ${turn + 1}, your answer:\n\n${answerText(completions[agent]!)}`,
    )
  }
  return sections
}

function promptText(prompt: TurnHistory['prompts'][number]): string {
  return typeof prompt === 'string' ? prompt : prompt.map(({ content }) => content).join('\n\n')
}

function answerText({ text }: Completion): string {
  return text.trim() === '' ? '# (empty answer)' : text.trimEnd()
}

function previousFunction(input: FeedbackInput): string {
  const { aux, main } = input.analysis.diagnosis
  const definition = functionName(input) === 'aux' && input.agents > 1 ? aux : main
  return definition?.source || `# (no function '${functionName(input)}' was found in your answer)`
}

function signalSections(input: FeedbackInput): string[] {
  const role = input.agents === 1 ? 'single' : input.agent === 0 ? 'aux' : 'main'
  switch (input.mode) {
    case 'plain':
      return []
    case 'passed':
      return [passedSignal(input.analysis)]
    case 'level_passed':
      return [`Signals from the checks:\n${list(compactSignals(input.analysis, role))}`]
    case 'level_feedback':
      return [`Diagnostics of the last turn's program:\n${list(detailedSignals(input.analysis, role))}`]
    case 'expert_edits':
      return input.edit === null || input.edit === undefined
        ? []
        : [`An expert's edit of your function:\n\n${input.edit.trimEnd()}`]
  }
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join('\n')
}

function instruction(input: FeedbackInput): string {
  const name = functionName(input)
  const basis = {
    plain: 'Look at your function once more and revise it where it can be better.',
    edit: "Revise your function; take up the expert's edit where it helps.",
    signal: 'Revise your function so that what is wrong above is put right.',
  }[input.mode === 'expert_edits' ? (input.edit ? 'edit' : 'plain') : input.mode === 'plain' ? 'plain' : 'signal']
  return `${basis} Answer with the code of the function '${name}' and nothing else: no explanation, no markdown fences, no examples.`
}
