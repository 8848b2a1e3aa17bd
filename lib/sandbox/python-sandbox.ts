import { argumentError, expectList, expectObject } from '../base/arguments.ts'
import { DisposedError, MagrpoError } from '../base/errors.ts'
import { abortSignal, callback, defined, integer, number, text } from '../base/fields.ts'
import { choice, type FieldsOf, resolve, section } from '../base/validate.ts'
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

const positive = () => number({ above: 0 }).optional()

/** Limits that a request may set. */
const limitsShape = {
  cpuSeconds: positive(),
  programCpuSeconds: positive(),
  wallSeconds: positive(),
  maxTimeouts: positive(),
} satisfies FieldsOf<SandboxLimits>

const limitsSection = section(limitsShape)

const startSection = section({
  workers: integer({ from: 1 }).default(2),
  limits: section({
    ...limitsShape,
    ...({
      memoryBytes: positive(),
      outputBytes: positive(),
      processes: positive(),
      fileBytes: positive(),
    } satisfies FieldsOf<SandboxResources>),
  }).optional(),
  mode: choice(['bubblewrap', 'process']).default('bubblewrap'),
  python: text().optional(),
  log: callback<(message: string) => void>(),
  signal: abortSignal(),
} satisfies FieldsOf<SandboxOptions>)

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
   * @throws ConfigError for options that are unknown or out of range
   */
  static async start(options: SandboxOptions = {}): Promise<PythonSandbox> {
    const given = resolve(startSection, options, 'The options of PythonSandbox.start')
    const { workers, mode, log, signal: ended } = given
    const all = { ...defaultLimits, ...defaultResources, ...defined(given.limits ?? {}) }
    ended?.throwIfAborted()
    const { cpuSeconds, programCpuSeconds, wallSeconds, maxTimeouts, ...resources } = all
    const sources = await readSources()
    const python = await findPython(given.python)
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
      ended?.throwIfAborted()
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
    checkRequest(request, 'runTests', ['program', 'entryPoint', 'tests'])
    const { signal, limits, prelude = '', ...rest } = request
    const reply = await this.#run({ action: 'tests', prelude, ...rest }, limits, signal)
    if (reply.died) return deadReport(reply.died)
    return checkedReport((reply.reply as { tests: TestReport }).tests, request.tests)
  }

  /** Looks at a joint completion without running any of it. Rejects as {@link runTests} does. */
  async analyze(request: CodeRequest): Promise<ProgramFacts> {
    checkRequest(request, 'analyze', ['main', 'prompt', 'entryPoint'])
    return (await this.#code({ ...request, test: null })).facts
  }

  /** Looks at a joint completion and runs its tests, in one request. Rejects as {@link runTests} does. */
  async runCode(request: CodeRequest & { test: string }): Promise<CodeReport> {
    checkRequest(request, 'runCode', ['main', 'prompt', 'entryPoint'])
    const report = await this.#code(request)
    if (report.tests) report.tests = checkedReport(report.tests, request.test)
    return report
  }

  /** Describes a joint completion and its tests for feedback, without running any of it. Rejects as {@link runTests} does. */
  async diagnose(request: CodeRequest & { test: string | null }): Promise<CodeDiagnosis> {
    checkRequest(request, 'diagnose', ['main', 'prompt', 'entryPoint'])
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
    expectList(programs, 'programs of readCooperation')
    for (const program of programs) checkRequest(program, 'readCooperation', ['main', 'entryPoint'])
    expectObject(options, 'options of readCooperation')
    if (programs.length === 0) return []
    const reply = await this.#run({ action: 'cooperation', programs }, options.limits, options.signal)
    if (!reply.died) return reply.reply as CooperationReading[]
    // One of them is too large to be read: it must not take the others with it.
    if (programs.length === 1) return [{ primary: 'other', labels: ['other'], features: null }]
    return (await Promise.all(programs.map((program) => this.readCooperation([program], options)))).flat()
  }

  /** Runs the tests of a joint completion with another aux in place of agent 1's. Rejects as {@link runTests} does. */
  async experiment(request: ExperimentRequest): Promise<ExperimentReport> {
    checkRequest(request, 'experiment', ['main', 'prompt', 'entryPoint'])
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
    resolve(limitsSection, limits ?? {}, 'The limits of a request')
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

/** @throws MagrpoError `ERR_ARGUMENT` for what is no request, or has no text where one is needed (it may be empty) */
function checkRequest(request: object, call: string, texts: readonly string[]): void {
  expectObject(request, `request of ${call}`)
  for (const name of texts) {
    const value = (request as Record<string, unknown>)[name]
    if (typeof value !== 'string') throw argumentError('text', `${name} of ${call}`, value)
  }
}

function deadReport(reason: NonNullable<WorkerReply['died']>): TestReport {
  const message = reason === 'timeout' ? 'time limit of the whole request' : 'the judge of the tests went down'
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
