import { DisposedError, MagrpoError } from '../base/errors.ts'
import { WorkerPool } from '../base/worker-pool.ts'
import { bubblewrapCommand, findBubblewrap, findPython, processCommand } from './command.ts'
import type { CooperationProgram, ExperimentReport, ExperimentRequest } from './cooperation.ts'
import type {
  CodeDiagnosis,
  CodeReport,
  CodeRequest,
  CooperationReading,
  DefinitionReport,
  ProgramFacts,
  SandboxLimits,
  SandboxOptions,
  SandboxResources,
  TestReport,
  TestRequest,
} from './types.ts'
import { readSources, Worker, WorkerDeath, type WorkerReply, type WorkerRequest } from './worker.ts'

/** Limits of a request where nothing else is said; see {@link SandboxLimits}. */
const defaultLimits: SandboxLimits = { cpuSeconds: 4, programCpuSeconds: 20, wallSeconds: 300, maxTimeouts: 3 }

/** Limits of every program where nothing else is said; see {@link SandboxResources}. */
const defaultResources: SandboxResources = {
  memoryBytes: 512 * 2 ** 20,
  outputBytes: 2 ** 20,
  processes: 1,
  fileBytes: 4 * 2 ** 20,
}

/**
 * A pool of sandboxed Python interpreters that run model-written programs.
 *
 * Each worker is a warm interpreter under bubblewrap that forks two processes a program: one that evaluates the tests, and one
 * that has the program and is asked for calls only. Values cross as plain data, so a program can fail its tests but not forge
 * their outcome. Both start from a memory that has never held a test, and both end with the request, so that neither a program
 * nor the test code of a data file reaches the next one.
 *
 * @example
 * ```ts
 * const sandbox = await PythonSandbox.start({ workers: 2 })
 * try {
 *   const report = await sandbox.runTests({
 *     program: 'def double(x):\n    return 2 * x\n',
 *     entryPoint: 'double',
 *     tests: 'assert double(2) == 4\nassert double(3) == 5\n',
 *   })
 *   console.log(report.passed, report.total, report.reason) // 1 2 assert
 * } finally {
 *   await sandbox.dispose()
 * }
 * ```
 */
export class PythonSandbox {
  /** Limits of requests that set none of their own. */
  readonly limits: SandboxLimits
  readonly #pool: WorkerPool<WorkerRequest, WorkerReply>

  private constructor(limits: SandboxLimits, size: number, start: (signal: AbortSignal) => Promise<Worker>) {
    this.limits = limits
    const disposedError = () => new DisposedError('The Python sandbox')
    this.#pool = new WorkerPool({ size, start, retries: 1, disposedError })
  }

  /**
   * Finds Python and bubblewrap and starts the first worker, so that what cannot work fails here; the others start when
   * there is work for them.
   *
   * @throws SandboxError `ERR_SANDBOX_UNAVAILABLE` if bubblewrap or Python is missing or namespaces are forbidden; the message
   *   says what to install or to allow
   * @throws MagrpoError `ERR_ARGUMENT` if a limit is not a positive number
   */
  static async start(options: SandboxOptions = {}): Promise<PythonSandbox> {
    const { workers = 2, mode = 'bubblewrap', log } = options
    const all = { ...defaultLimits, ...defaultResources, ...options.limits }
    for (const [name, value] of Object.entries({ workers, ...all }))
      if (!(typeof value === 'number' && value > 0))
        throw new MagrpoError(
          'ERR_ARGUMENT',
          `Expected a positive number for the sandbox's ${name} but received ${value}.`,
        )
    options.signal?.throwIfAborted()
    const { cpuSeconds, programCpuSeconds, wallSeconds, maxTimeouts, ...resources } = all
    const sources = await readSources()
    const python = await findPython(options.python)
    if (mode === 'process')
      log?.(
        'The Python sandbox runs with resource limits only (mode "process"): programs can read and write what this user can, ' +
          'use the network and forge their test results. Use it for trusted programs alone.',
      )
    const command =
      mode === 'process'
        ? processCommand(python, sources.boot)
        : await bubblewrapCommand(await findBubblewrap(), python, sources.boot)
    const limits = { cpuSeconds, programCpuSeconds, wallSeconds, maxTimeouts }
    const config = { mode, ...resources }
    const sandbox = new PythonSandbox(limits, workers, (signal) => Worker.start(command, sources, config, signal))
    try {
      await sandbox.#pool.warmUp()
      options.signal?.throwIfAborted()
    } catch (error) {
      await sandbox.dispose()
      throw error
    }
    return sandbox
  }

  /**
   * Runs a test module against a program. A program that fails, in whatever way, is a result and not an error.
   *
   * @throws MagrpoError `ERR_DATA` if `tests` is not Python
   * @throws SandboxError `ERR_SANDBOX` if the sandbox itself fails; a worker that ends is replaced and its program run again
   * @throws the signal's reason when aborted
   */
  async runTests(request: TestRequest): Promise<TestReport> {
    const { signal, limits, prelude = '', ...rest } = request
    const reply = await this.#run({ action: 'tests', prelude, ...rest }, limits, signal)
    if (reply.died) return deadReport(reply.died)
    return checkedReport((reply.reply as { tests: TestReport }).tests, request.tests)
  }

  /** Looks at a joint completion without running any of it. Rejects as {@link runTests} does. */
  async analyze(request: CodeRequest): Promise<ProgramFacts> {
    return (await this.#code({ ...request, test: null })).facts
  }

  /** Looks at a joint completion and runs its tests, in one request. Rejects as {@link runTests} does. */
  async runCode(request: CodeRequest & { test: string }): Promise<CodeReport> {
    const report = await this.#code(request)
    if (report.tests) report.tests = checkedReport(report.tests, request.test)
    return report
  }

  /** Describes a joint completion and its tests for feedback, without running any of it. Rejects as {@link runTests} does. */
  async diagnose(request: CodeRequest & { test: string | null }): Promise<CodeDiagnosis> {
    const { signal, limits, ...rest } = request
    const reply = await this.#run({ action: 'diagnose', ...rest }, limits, signal)
    if (!reply.died) return reply.reply as CodeDiagnosis
    const missing: DefinitionReport = { source: '', reason: 'no_function', others: [] }
    const error = { line: null, column: null, message: 'the program is too large to be read' }
    const aux = request.aux === null ? null : missing
    return { aux, main: missing, error, callsAux: false, misuse: [], wrapper: false, asserts: [] }
  }

  /** How entry points use their helpers: one reading a program, without running any. Rejects as {@link runTests} does. */
  async readCooperation(
    programs: readonly CooperationProgram[],
    options: { limits?: Partial<SandboxLimits>; signal?: AbortSignal } = {},
  ): Promise<CooperationReading[]> {
    if (programs.length === 0) return []
    const reply = await this.#run({ action: 'cooperation', programs }, options.limits, options.signal)
    if (!reply.died) return reply.reply as CooperationReading[]
    // One of them is too large to be read: it must not take the others with it.
    if (programs.length === 1) return [{ primary: 'other', labels: ['other'], features: null }]
    return (await Promise.all(programs.map((program) => this.readCooperation([program], options)))).flat()
  }

  /** Runs the tests of a joint completion with another aux in place of agent 1's. Rejects as {@link runTests} does. */
  async experiment(request: ExperimentRequest): Promise<ExperimentReport> {
    const { signal, limits, ...rest } = request
    const reply = await this.#run({ action: 'experiment', ...rest }, limits, signal)
    if (reply.died) return { tests: deadReport(reply.died), counts: null }
    const report = reply.reply as ExperimentReport
    return { ...report, tests: report.tests && checkedReport(report.tests, request.test) }
  }

  /** Ends all workers; what is still running rejects with `ERR_DISPOSED`. Nothing is left behind. Calling it twice is fine. */
  async dispose(): Promise<void> {
    await this.#pool.dispose()
  }

  /** What `await using` calls: `dispose()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #code(request: CodeRequest & { test: string | null }): Promise<CodeReport> {
    const { signal, limits, ...rest } = request
    const reply = await this.#run({ action: 'code', ...rest }, limits, signal)
    if (!reply.died) return reply.reply as CodeReport
    // The judge went down, in its tests as a rule: what was seen before still counts.
    const { facts } = (reply.reply as CodeReport | undefined) ?? { facts: noFacts }
    return { facts, tests: request.test === null ? null : deadReport(reply.died) }
  }

  async #run(
    message: object,
    limits: Partial<SandboxLimits> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<WorkerReply> {
    try {
      return await this.#pool.call({ ...message, limits: { ...this.limits, ...limits } }, signal)
    } catch (error) {
      if (error instanceof WorkerDeath) return { died: 'crash' } // twice with the same program: not by chance
      throw error
    }
  }
}

/** Facts of a completion that is too large to be read. */
const noFacts: ProgramFacts = {
  structureAux: false,
  structureMain: false,
  syntax: false,
  hasAux: false,
  usesAux: false,
  asWritten: false,
  wrapper: false,
  ignoresAux: false,
  program: '',
  prelude: '',
  cooperation: null,
}

function deadReport(reason: NonNullable<WorkerReply['died']>): TestReport {
  const message = reason === 'timeout' ? 'wall time limit of the whole request' : 'the judge of the tests went down'
  const outcome = { number: 0, ok: false, reason, message, forgeable: false }
  return {
    passed: 0,
    total: 1,
    timeouts: reason === 'timeout' ? 1 : 0,
    forgeable: 0,
    reason,
    message,
    outcomes: [outcome],
  }
}

function checkedReport(report: TestReport | { invalid: string }, tests: string): TestReport {
  if (!('invalid' in report)) return report
  throw new MagrpoError(
    'ERR_DATA',
    `Expected Python source as tests but received text that does not parse: ${JSON.stringify(tests.slice(0, 120))}. Check the item's field "test".`,
    { details: { field: report.invalid } },
  )
}
