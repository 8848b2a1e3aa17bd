/** Runs joint programs of mini-code in the sandbox, equal ones once, and keeps what rewards, metrics and feedback need of them. */
import type { PythonSandbox } from '../../sandbox/python-sandbox.ts'
import type { CodeReport, SandboxLimits, SandboxOptions } from '../../sandbox/types.ts'
import { CooperationMemory } from '../code/cooperation-report.ts'
import { LazySandbox, VerdictMemory } from '../code/lazy-sandbox.ts'
import { failureOf } from '../code/reward.ts'
import type { TurnFacts } from './feedback.ts'
import type { MiniCodeItem } from './problems.ts'

/** What mini-code needs of a sandbox. */
export type ProgramRunner = Pick<PythonSandbox, 'runCode' | 'readCooperation' | 'experiment'>

/** The programs are one-liners on short lists: far less CPU time than these is enough, and endless loops end early. */
export const miniCodeLimits: Partial<SandboxLimits> = { cpuSeconds: 1, programCpuSeconds: 2, maxTimeouts: 1 }

/** Verdicts kept. */
const maxVerdicts = 20_000

/** What {@link createJudge} takes: a sandbox that is not disposed with the judge, or options of one of its own. */
interface JudgeOptions {
  sandbox?: ProgramRunner
  sandboxOptions?: SandboxOptions
}

/** See {@link createJudge}. */
export interface Judge {
  /** How the programs that were run cooperate. */
  readings: CooperationMemory
  /** The sandbox that programs run in; it is started if need be. */
  sandbox(): Promise<ProgramRunner>
  /** What the program of both texts does. Rejects as `PythonSandbox.runCode` does. */
  verdict(item: MiniCodeItem, aux: string, main: string, signal: AbortSignal): Promise<TurnFacts>
  dispose(): Promise<void>
}

/** A judge of joint programs. Its own sandbox, if it is given none, starts with the first program. */
export function createJudge({ sandbox, sandboxOptions }: JudgeOptions): Judge {
  const lazy = new LazySandbox<ProgramRunner>(sandbox, sandboxOptions)
  const verdicts = new VerdictMemory<TurnFacts>(maxVerdicts)
  const readings = new CooperationMemory(maxVerdicts)
  const run = async (item: MiniCodeItem, aux: string, main: string, signal: AbortSignal): Promise<TurnFacts> => {
    const { prompt, test, entry_point: entryPoint } = item
    const runner = await lazy.get()
    const request = { rules: 'strict', aux, main, prompt, entryPoint, test, limits: miniCodeLimits, signal } as const
    const report = await runner.runCode(request)
    readings.note(entryPoint, [aux, main], report.facts.cooperation)
    return turnFacts(report)
  }
  return {
    readings,
    sandbox: () => lazy.get(),
    verdict: (item, aux, main, signal) =>
      verdicts.get([item.test, aux, main].join('\0'), signal, () => run(item, aux, main, signal)),
    dispose: () => lazy.dispose(),
  }
}

function turnFacts({ facts, tests: results }: CodeReport): TurnFacts {
  const { structureAux: aux, structureMain: solve, usesAux } = facts
  // The model writes code and nothing else, so not even fences around it are forgiven.
  const syntax = facts.syntax && facts.asWritten
  const tests = syntax ? results : null
  const isPassed = tests !== null && tests.total > 0 && tests.passed === tests.total
  const pass = aux && solve && syntax && usesAux && isPassed
  return {
    aux,
    solve,
    syntax,
    usesAux,
    tests: tests && { passed: tests.passed, total: tests.total },
    error: isPassed ? null : errorOf(tests),
    pass,
    reason: pass ? null : whyNot({ facts: { ...facts, syntax }, tests }),
  }
}

function whyNot(report: CodeReport): string {
  if (!report.facts.structureAux) return 'name: aux is missing or returns nothing'
  return failureOf(report) ?? 'solve does not call aux'
}

/** How Python would name what went wrong first; a false assert says nothing more, since its values are not shown. */
function errorOf(tests: CodeReport['tests']): string | null {
  const failed = tests?.outcomes.find(({ ok }) => !ok)
  if (failed === undefined) return null
  if (failed.reason === 'assert') return 'AssertionError'
  return failed.reason === 'exception' ? failed.message : (failed.reason ?? null)
}
