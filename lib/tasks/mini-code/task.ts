import { ConfigError } from '../../base/errors.ts'
import type { SandboxOptions } from '../../sandbox/types.ts'
import { codeMeter } from '../code/columns.ts'
import { cooperationReport, cooperationReportMetrics } from '../code/cooperation-report.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { miniCodeBaselines } from './baselines.ts'
import { conventionMetrics } from './convention.ts'
import { type MiniCodeFeedback, miniCodeFeedbacks } from './feedback.ts'
import { createJudge, miniCodeLimits as limits, type ProgramRunner } from './judge.ts'
import { type MiniCodeItem, miniCodeProblems } from './problems.ts'
import { agentPrompt, agents, revisionPrompt } from './prompts.ts'

/** Options of {@link miniCode}. */
export interface MiniCodeOptions {
  /** Number of training problems, the first so many of a fixed shuffled order. Defaults to all. */
  train?: number
  /** Number of problems in the task's `heldOut`. Defaults to all of the part named by `evaluateOn`. */
  heldOut?: number
  /**
   * Which problems are the task's `heldOut`: `validation` (default), for watching a run and choosing its settings, or
   * `held-out`, for a final score. No (predicate, transformation) pair is in two of training, validation and held-out.
   */
  evaluateOn?: 'validation' | 'held-out'
  /** What the agents read after a turn, where there are several; see {@link MiniCodeFeedback}. Defaults to `level_feedback`. */
  feedback?: MiniCodeFeedback
  /** Runs the programs; it is not disposed with the task. Without one a sandbox is started at the first reward. */
  sandbox?: ProgramRunner
  /** Options of the sandbox that is started where none is given. */
  sandboxOptions?: SandboxOptions
  /**
   * Most samples of an evaluation that are run again with other helpers, to see what the helper is good for; see
   * `cooperationReport`. Defaults to `8`; `0` runs none.
   */
  experiments?: number
}

/** A turn whose programs nearly all pass ends its episode. */
const finishedAbove = 0.9

/**
 * Two agents write one small Python program, neither seeing the other: agent 1 a helper `aux`, agent 2 the entry point
 * `solve`, which calls it. Problems are (predicate x transformation x fold) over a list of integers, such as "the sum of the
 * squares of the even numbers". The helper may be the predicate, the transformation, the filtered and transformed list,
 * or the fold: each is fine if both agents mean the same, so what has to be learned is an agreement.
 *
 * The reward is 1 if the program passes all of its asserts and the entry point calls `aux`, else 0 (part `pass`); the parts
 * `syntax` (the program parses and both functions are there) and `uses_aux` are logged beside it. Equal programs run once.
 *
 * With several turns (the algorithm's `turns`) each agent reads its own last answer and the `feedback` on the joint program, never
 * what the other one wrote.
 *
 * @throws ConfigError if a number of problems is out of range or `feedback` is unknown
 * @example
 * ```ts
 * const task = miniCode()
 * task.observe(task.items[0]!, 0, []) // 'def solve(xs):\n    """Return the ...."""\n# write aux\n'
 * ```
 */
export function miniCode(options: MiniCodeOptions = {}): Task<MiniCodeItem> {
  const problems = miniCodeProblems()
  const part = options.evaluateOn === 'held-out' ? problems.heldOut : problems.validation
  const feedback = knownFeedback(options.feedback)
  const judge = createJudge(options)
  return defineTask<MiniCodeItem>({
    name: 'mini-code',
    agents: [...agents],
    items: firstOf(problems.train, options.train, 'train', 1),
    heldOut: firstOf(part, options.heldOut, 'heldOut', 0),
    observe: (item, agent) => agentPrompt(item.prompt, agent),
    async reward(item, joint, { signal }) {
      const facts = await judge.verdict(item, joint[0]?.text ?? '', joint[1]?.text ?? '', signal)
      const pass = Number(facts.pass)
      const syntax = Number(facts.syntax && facts.aux && facts.solve)
      const parts = { pass, syntax, uses_aux: Number(facts.usesAux) }
      return { total: pass, parts, ...(facts.reason && { reason: facts.reason }) }
    },
    async transition(item, joint, _history, { signal }) {
      const [aux = '', main = ''] = joint.map(({ text }) => text)
      const facts = await judge.verdict(item, aux, main, signal)
      return {
        prompts: [aux, main].map((answer, agent) => revisionPrompt(item.prompt, agent, answer, feedback, facts)),
      }
    },
    metrics: (item, joint) => {
      const [aux = '', main = ''] = joint.map(({ text }) => text)
      return { ...conventionMetrics(aux, main), ...judge.readings.metrics(item.entry_point, [aux, main]) }
    },
    async examine(evaluated, { signal }) {
      const { experiments = 8 } = options
      if (experiments === 0) return {}
      const samples = evaluated.map(({ item, joint }) => ({
        item,
        texts: [joint[0]?.text ?? '', joint[1]?.text ?? ''],
      }))
      const sandbox = await judge.sandbox()
      return cooperationReportMetrics(await cooperationReport(samples, { sandbox, experiments, limits, signal }))
    },
    baselines: miniCodeBaselines,
    columns: (task) => codeMeter({ task, sandboxOptions: options.sandboxOptions, limits }),
    maxReward: 1,
    minReward: 0,
    defaults: { maxNewTokens: 40, temperature: 1, terminationThreshold: finishedAbove, rewardTimeoutMs: null },
    dispose: () => judge.dispose(),
  })
}

function firstOf(items: MiniCodeItem[], count: number | undefined, option: string, least: number): MiniCodeItem[] {
  if (count === undefined) return items
  if (Number.isInteger(count) && count >= least && count <= items.length) return items.slice(0, count)
  const message = `expected a whole number from ${least} to ${items.length} but received ${count}`
  throw new ConfigError([{ path: option, message }], 'Task "mini-code"')
}

function knownFeedback(feedback: MiniCodeFeedback = 'level_feedback'): MiniCodeFeedback {
  if (miniCodeFeedbacks.includes(feedback)) return feedback
  const message = `expected one of ${miniCodeFeedbacks.join(', ')} but received ${JSON.stringify(feedback)}`
  throw new ConfigError([{ path: 'feedback', message }], 'Task "mini-code"')
}
