import { MagrpoError } from '../../base/errors.ts'
import type { PythonSandbox } from '../../sandbox/python-sandbox.ts'
import type {
  CodeDiagnosis,
  CodeReport,
  CodeRequest,
  ForgeableTests,
  SandboxLimits,
  SandboxOptions,
} from '../../sandbox/types.ts'
import type { Rules } from '../task/options.ts'
import { type CodeItem, checkCodeItem } from './item.ts'
import { LazySandbox, VerdictMemory } from './lazy-sandbox.ts'

/** Options of `createCodeReward`. */
export interface CodeRewardOptions {
  /** Which rule set scores. */
  rules: Rules
  /** A sandbox to share; it is not disposed with the reward. Without one a sandbox is started at the first score. */
  sandbox?: PythonSandbox
  /** Options of the sandbox that is started where none is given. */
  sandboxOptions?: SandboxOptions
  /**
   * How many reports are kept, so that equal completions of a problem run once. A converged policy writes the same programs
   * over and over; verdicts repeat, see {@link PythonSandbox}. Defaults to `4096`; `0` keeps none.
   */
  remember?: number
  /** Tests that only the program's own process can run, see {@link ForgeableTests}. Default: `fail` for `strict`, `count` for `paper`. */
  forgeableTests?: ForgeableTests
  /** Limits of each program. Default: the sandbox's own for `strict`; `paperLimits` for `paper`. */
  limits?: Partial<SandboxLimits>
}

/** A total and the parts it is made of; see {@link CodeReward.score} for the parts' names. */
interface CodeScore {
  total: number
  parts: Record<string, number>
  /** Why the program failed, such as `timeout: CPU time limit`; see {@link failureOf}. Left out where it passed all tests. */
  reason?: string
}

/** Scores joint completions of code problems. */
export interface CodeReward {
  /** The highest total for so many agents: `4` for two or more, `2.1` for one. */
  maxReward(agents: number): number
  /**
   * Scores what all agents wrote for one problem: of several texts the first has `aux` and the last the entry point; a
   * single text has the entry point only.
   *
   * Parts that add up to the total: `structure_aux` (0.4), `structure_main` (0.6), `syntax` (0.5), `tests` (0 to 1),
   * `bonus_aux` (0.5), `bonus_non_wrapper` (1), `penalty_ignored` (-0.5). Beside them `tests_passed`, `tests_total`,
   * `timeouts`, and `forgeable`: tests that only the program's own process could run.
   *
   * @throws MagrpoError `ERR_DATA` naming the field of the item that is missing or wrong
   * @throws SandboxError `ERR_SANDBOX_UNAVAILABLE` or `ERR_SANDBOX`; never because of what the program does
   */
  score(item: CodeItem, texts: readonly string[], signal?: AbortSignal): Promise<CodeScore>
  /** The facts and test results that {@link score} counts, from the same memory; not to be changed. Rejects as it does. */
  report(item: CodeItem, texts: readonly string[], signal?: AbortSignal): Promise<CodeReport>
  /** What feedback says of the program beside its test results, by the rules of the reward. Rejects as {@link score} does. */
  diagnose(item: CodeItem, texts: readonly string[], signal?: AbortSignal): Promise<CodeDiagnosis>
  /** The sandbox that programs run in; it is started if need be. */
  sandbox(): Promise<PythonSandbox>
  /** Ends the sandbox, if this reward started it. */
  dispose(): Promise<void>
}

/**
 * Limits of the published reward: 10 seconds a test, three timeouts. The limits on a whole program, which it does not have,
 * are far above what its tests can need.
 */
const paperLimits: Partial<SandboxLimits> = {
  cpuSeconds: 10,
  programCpuSeconds: 400,
  wallSeconds: 1200,
  maxTimeouts: 3,
}

/**
 * The level-based code reward of MAGRPO (arXiv 2508.04652, section on coding collaboration): structure, syntax, tests,
 * cooperation; at most 4.0, for a single agent 2.1.
 *
 * `strict` rules: syntax trees instead of text search, whole test statements in their order, helper functions of the prompt
 * and all top-level definitions of the completions kept, a penalty for a lost value of aux that does fire. `paper` rules:
 * the published text rules, their oddities included; nested functions, decorators and imports in a completion are lost, and
 * tests that are not single-line asserts are not seen. Both run programs only in the sandbox.
 *
 * @example
 * ```ts
 * const reward = createCodeReward({ rules: 'strict' })
 * const { total, parts } = await reward.score(item, [auxText, mainText])
 * await reward.dispose()
 * ```
 */
export function createCodeReward(options: CodeRewardOptions): CodeReward {
  const { rules, remember = 4096, forgeableTests: forgeable } = options
  const limits = rules === 'paper' ? { ...paperLimits, ...options.limits } : options.limits
  const lazy = new LazySandbox(options.sandbox, options.sandboxOptions)
  const reports = new VerdictMemory<CodeReport>(remember)
  const report: CodeReward['report'] = async (item, texts, signal) => {
    const request = requestOf(item, texts)
    return reports.get(JSON.stringify(request), signal, async () =>
      (await lazy.get()).runCode({ rules, ...request, forgeable, limits, signal }),
    )
  }
  return {
    maxReward: (agents) => (agents > 1 ? 4 : 2.1),
    report,
    score: async (item, texts, signal) => scoreOf(await report(item, texts, signal)),
    async diagnose(item, texts, signal) {
      const request = requestOf(item, texts)
      return (await lazy.get()).diagnose({ rules, ...request, limits, signal })
    },
    sandbox: () => lazy.get(),
    dispose: () => lazy.dispose(),
  }
}

function requestOf(item: CodeItem, texts: readonly string[]): Omit<CodeRequest, 'rules'> & { test: string } {
  const { prompt, test, entry_point: entryPoint } = checkCodeItem(item)
  if (texts.length < 1)
    throw new MagrpoError('ERR_ARGUMENT', 'Expected at least one completion to score but received none.')
  return { aux: texts.length > 1 ? texts[0]! : null, main: texts.at(-1)!, prompt, entryPoint, test }
}

/**
 * The points of a report. The levels are added in the published order, so that equal inputs give equal floating-point sums.
 */
export function scoreOf(report: CodeReport): CodeScore {
  const { facts, tests } = report
  const goesOn = facts.structureMain
  const parses = goesOn && facts.syntax
  const passed = parses ? (tests?.passed ?? 0) : 0
  const testCount = parses ? (tests?.total ?? 0) : 0
  const cooperates = passed > 0 && facts.hasAux && facts.usesAux
  const points = {
    structure_aux: facts.structureAux ? 0.4 : 0,
    structure_main: facts.structureMain ? 0.6 : 0,
    syntax: parses ? 0.5 : 0,
    tests: testCount > 0 ? passed / testCount : 0,
    bonus_aux: cooperates ? 0.5 : 0,
    bonus_non_wrapper: cooperates && !facts.wrapper ? 1 : 0,
    penalty_ignored: cooperates && facts.ignoresAux ? -0.5 : 0,
  }
  const reason = failureOf(report)
  return {
    total: Object.values(points).reduce((sum, value) => sum + value, 0),
    parts: {
      ...points,
      tests_passed: passed,
      tests_total: testCount,
      timeouts: tests?.timeouts ?? 0,
      forgeable: tests?.forgeable ?? 0,
    },
    ...(reason !== null && { reason }),
  }
}

/**
 * Why a joint program failed, in a few words: what is missing, `syntax: ...`, or the {@link TestReport.reason} and message of the
 * tests (`timeout: CPU time limit`); `null` if it passed them all.
 */
export function failureOf({ facts, tests }: CodeReport): string | null {
  if (!facts.structureMain) return 'name: the entry point is missing or returns nothing'
  if (!facts.syntax) return 'syntax: the program does not parse'
  if (tests === null || tests.total === 0) return 'no tests'
  if (tests.reason === null) return null
  return tests.message === '' || tests.message === tests.reason ? tests.reason : `${tests.reason}: ${tests.message}`
}
