import { ConfigError } from '../../base/errors.ts'
import { handle, integer } from '../../base/fields.ts'
import { type FieldsOf, readOptions } from '../../base/validate.ts'
import type { SandboxOptions } from '../../sandbox/types.ts'
import { codeMeter } from '../code/columns.ts'
import { cooperationReport, cooperationReportMetrics } from '../code/cooperation-report.ts'
import type { Joint } from '../task/completion.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { miniCodeBaselines } from './baselines.ts'
import { conventionMetrics } from './convention.ts'
import { createJudge, miniCodeLimits as limits, type ProgramRunner } from './judge.ts'
import { type MiniCodeSettings, miniCodeSettings } from './options.ts'
import { type MiniCodeItem, miniCodeProblems } from './problems.ts'
import { agentPrompt, agents, revisionPrompt } from './prompts.ts'

/** Options of {@link miniCode}. */
export interface MiniCodeOptions extends MiniCodeSettings {
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

const miniCodeShape = {
  ...miniCodeSettings,
  sandbox: handle<ProgramRunner>('a sandbox').optional(),
  sandboxOptions: handle<SandboxOptions>('options of a sandbox').optional(),
  experiments: integer({ from: 0 }).optional(),
} satisfies FieldsOf<MiniCodeOptions>

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
 * const task = tasks.miniCode()
 * task.observe(task.items[0]!, 0, []) // 'def solve(xs):\n    """Return the ...."""\n# write aux\n'
 * ```
 */
export function miniCode(options: MiniCodeOptions = {}): Task<MiniCodeItem> {
  const problems = miniCodeProblems()
  const { train, heldOut, evaluateOn, feedback } = readOptions('Task "mini-code"', miniCodeShape, options)
  const part = evaluateOn === 'held-out' ? problems.heldOut : problems.validation
  const judge = createJudge(options)
  return defineTask<MiniCodeItem>({
    name: 'mini-code',
    agents: [...agents],
    items: firstOf(problems.train, train, 'train'),
    heldOut: firstOf(part, heldOut, 'heldOut'),
    observe: (item, agent) => agentPrompt(item.prompt, agent),
    async reward(item, joint, { signal }) {
      const facts = await judge.verdict(item, ...textsOf(joint), signal)
      const pass = Number(facts.pass)
      const syntax = Number(facts.syntax && facts.aux && facts.solve)
      const parts = { pass, syntax, uses_aux: Number(facts.usesAux) }
      return { total: pass, parts, ...(facts.reason && { reason: facts.reason }) }
    },
    async transition(item, joint, _history, { signal }) {
      const texts = textsOf(joint)
      const facts = await judge.verdict(item, ...texts, signal)
      return { prompts: texts.map((answer, agent) => revisionPrompt(item.prompt, agent, answer, feedback, facts)) }
    },
    metrics: (item, joint) => {
      const texts = textsOf(joint)
      return { ...conventionMetrics(...texts), ...judge.readings.metrics(item.entry_point, texts) }
    },
    async examine(evaluated, { signal }) {
      const { experiments = 8 } = options
      if (experiments === 0) return {}
      const samples = evaluated.map(({ item, joint }) => ({ item, texts: textsOf(joint) }))
      const sandbox = await judge.sandbox()
      return cooperationReportMetrics(await cooperationReport(samples, { sandbox, experiments, limits, signal }))
    },
    baselines: miniCodeBaselines,
    columns: (task) => codeMeter({ rules: 'strict', task, sandboxOptions: options.sandboxOptions, limits }),
    maxReward: 1,
    minReward: 0,
    defaults: { maxNewTokens: 40, temperature: 1, terminationThreshold: finishedAbove, rewardTimeoutMs: null },
    dispose: () => judge.dispose(),
  })
}

/** What both agents wrote. */
const textsOf = (joint: Joint): [aux: string, main: string] => [joint[0]?.text ?? '', joint[1]?.text ?? '']

function firstOf(items: MiniCodeItem[], count: number | undefined, option: string): MiniCodeItem[] {
  if (count === undefined) return items
  if (count <= items.length) return items.slice(0, count)
  const message = `expected a whole number up to ${items.length} but received ${count}`
  throw new ConfigError([{ path: option, message }], 'Task "mini-code"')
}
