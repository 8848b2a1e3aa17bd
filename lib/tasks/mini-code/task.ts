import { ConfigError } from '../../errors.ts'
import { PythonSandbox } from '../../sandbox/python-sandbox.ts'
import type { SandboxLimits, SandboxOptions } from '../../sandbox/types.ts'
import { CooperationMemory, cooperationReport, cooperationReportMetrics } from '../code/cooperation-report.ts'
import { defineTask } from '../define-task.ts'
import type { Task } from '../types.ts'
import { conventionMetrics } from './convention.ts'
import { type MiniCodeItem, miniCodeProblems } from './problems.ts'
import { agentPrompt, agents } from './prompts.ts'

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

/** What mini-code needs of a sandbox. */
export type ProgramRunner = Pick<PythonSandbox, 'runCode' | 'readCooperation' | 'experiment'>

/** The programs are one-liners on short lists: far less CPU time than these is enough, and endless loops end early. */
const limits: Partial<SandboxLimits> = { cpuSeconds: 1, programCpuSeconds: 2, maxTimeouts: 1 }

/** Verdicts kept; a run that meets more distinct programs than that forgets them all and starts again. */
const mostVerdicts = 20_000

/**
 * Two agents write one small Python program, neither seeing the other: agent 1 a helper `aux`, agent 2 the entry point
 * `solve`, which calls it. Problems are (predicate x transformation x fold) over a list of integers, such as "the sum of the
 * squares of the even numbers". The helper may be the predicate, the transformation, the filtered and transformed list,
 * or the fold: each is fine if both agents mean the same, so what has to be learned is an agreement.
 *
 * The reward is 1 if the program passes all of its asserts and the entry point calls `aux`, else 0 (part `pass`); the parts
 * `syntax` (the program parses and both functions are there) and `uses_aux` are logged beside it. Equal programs run once.
 *
 * @throws ConfigError if a number of problems is out of range
 * @example
 * ```ts
 * const task = miniCode()
 * task.observe(task.items[0]!, 0, []) // 'def solve(xs):\n    """Return the ...."""\n# write aux\n'
 * ```
 */
export function miniCode(options: MiniCodeOptions = {}): Task<MiniCodeItem> {
  const problems = miniCodeProblems()
  const part = options.evaluateOn === 'held-out' ? problems.heldOut : problems.validation
  const judge = createJudge(options)
  return defineTask<MiniCodeItem>({
    name: 'mini-code',
    agents: [...agents],
    items: firstOf(problems.train, options.train, 'train', 1),
    heldOut: firstOf(part, options.heldOut, 'heldOut', 0),
    observe: (item, agent) => agentPrompt(item.prompt, agent),
    async reward(item, joint, { signal }) {
      const verdict = await judge.verdict(item, joint[0]?.text ?? '', joint[1]?.text ?? '', signal)
      return { total: verdict.pass, parts: { ...verdict } }
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
    maxReward: 1,
    defaults: { maxNewTokens: 40, temperature: 1 },
    dispose: () => judge.dispose(),
  })
}

function firstOf(items: MiniCodeItem[], count: number | undefined, option: string, least: number): MiniCodeItem[] {
  if (count === undefined) return items
  if (Number.isInteger(count) && count >= least && count <= items.length) return items.slice(0, count)
  const message = `expected a whole number from ${least} to ${items.length} but received ${count}`
  throw new ConfigError([{ path: option, message }], 'Task "mini-code"')
}

/** Parts of the reward, each 0 or 1. */
interface Verdict {
  pass: number
  syntax: number
  uses_aux: number
}

interface Judge {
  /** How the programs that were run cooperate. */
  readings: CooperationMemory
  sandbox(): Promise<ProgramRunner>
  verdict(item: MiniCodeItem, aux: string, main: string, signal: AbortSignal): Promise<Verdict>
  dispose(): Promise<void>
}

function createJudge({ sandbox, sandboxOptions }: MiniCodeOptions): Judge {
  const verdicts = new Map<string, Promise<Verdict>>()
  let started: Promise<PythonSandbox> | undefined
  const readings = new CooperationMemory(mostVerdicts)
  const sandboxOf = async (): Promise<ProgramRunner> => {
    if (sandbox !== undefined) return sandbox
    started ??= PythonSandbox.start(sandboxOptions).catch((error) => {
      started = undefined
      throw error
    })
    return started
  }
  const run = async (item: MiniCodeItem, aux: string, main: string, signal: AbortSignal): Promise<Verdict> => {
    const { prompt, test, entry_point: entryPoint } = item
    const runner = await sandboxOf()
    const { facts, tests } = await runner.runCode({
      rules: 'strict',
      aux,
      main,
      prompt,
      entryPoint,
      test,
      limits,
      signal,
    })
    readings.note(entryPoint, [aux, main], facts.cooperation)
    const isComplete = facts.syntax && facts.structureAux && facts.structureMain
    const isPassed = tests !== null && tests.total > 0 && tests.passed === tests.total
    return {
      pass: isComplete && facts.usesAux && isPassed ? 1 : 0,
      syntax: isComplete ? 1 : 0,
      uses_aux: facts.usesAux ? 1 : 0,
    }
  }
  return {
    readings,
    sandbox: sandboxOf,
    verdict(item, aux, main, signal) {
      const key = [item.test, aux, main].join('\0')
      let verdict = verdicts.get(key)
      if (verdict === undefined) {
        if (verdicts.size >= mostVerdicts) verdicts.clear()
        verdict = run(item, aux, main, signal)
        verdicts.set(key, verdict)
        // A failure of the sandbox, or an abort, says nothing about the program.
        verdict.catch(() => verdicts.delete(key))
      }
      return verdict
    },
    async dispose() {
      const running = await started?.catch(() => undefined)
      started = undefined
      await running?.dispose()
    },
  }
}
