/** Limits of one program. All are per program unless they say otherwise. */
export interface SandboxLimits {
  /**
   * CPU seconds of one test (of one call, outside tests). Defaults to `4`. A program may as long wait in one call, for a sleep or a
   * lock; time in which it is ready to run and has no CPU does not count.
   */
  cpuSeconds: number
  /** CPU seconds of the program over all its tests; it may as long wait over all of them. Defaults to `20`. */
  programCpuSeconds: number
  /**
   * Wall seconds of a whole request; generous, so that verdicts depend on what the program does and not on how busy the machine
   * is. Defaults to `300`. Behind the other limits each call also has ten times its `cpuSeconds`, at least 10 seconds.
   */
  wallSeconds: number
  /** After so many timed-out tests the rest is skipped and counts as failed. Defaults to `3`. */
  maxTimeouts: number
}

/** Limits that hold for every program of a sandbox. */
export interface SandboxResources {
  /** Address space of a program, bytes. Defaults to 512 MiB. */
  memoryBytes: number
  /** What a program may print, bytes; more is a failure. Defaults to 1 MiB. */
  outputBytes: number
  /** Processes and threads of a program, itself included. Defaults to `1`. */
  processes: number
  /** Size of one file, bytes; all files together may have four times as much. Defaults to 4 MiB. */
  fileBytes: number
}

/** Options of {@link PythonSandbox.start}. */
export interface SandboxOptions {
  /** Programs that run at the same time. Defaults to `2`. */
  workers?: number
  /** Limits; each one left out has its default. Those of {@link SandboxLimits} can be set per request as well. */
  limits?: Partial<SandboxLimits & SandboxResources>
  /**
   * `bubblewrap` (default): fresh namespaces for every program. `process`: resource limits only, no security boundary; it
   * is for machines where namespaces are forbidden and the programs are trusted, and sends a warning to `log`.
   */
  mode?: 'bubblewrap' | 'process'
  /** The Python to run (3.9 or newer). Defaults to `/usr/bin/python3`, else the `python3` on PATH. */
  python?: string
  /** Receives warnings. Nothing is ever written to the console. */
  log?: (message: string) => void
  /** Gives up starting. */
  signal?: AbortSignal
}

/**
 * Why a test or a program failed: `assert` (a false assert), `exception`, `timeout`, `memory`, `output` (printed too much),
 * `exit` (ended itself), `crash` (ended by a signal), `syntax`, `name` (the entry point is missing), `protocol` (sent what
 * nobody asked for), `forgeable` (a test that only the program's own process could run, see {@link ForgeableTests}).
 */
export type FailureReason =
  | 'assert'
  | 'exception'
  | 'timeout'
  | 'memory'
  | 'output'
  | 'exit'
  | 'crash'
  | 'syntax'
  | 'name'
  | 'protocol'
  | 'forgeable'

/**
 * What becomes of tests that cannot be judged outside the program's own process, because the test file hands over a function of its
 * own, say, or uses a class of the program. `fail`: they fail. `count`: they run beside the program, which can forge how they end.
 * What cannot be judged because of something that the program does has failed in either case.
 */
export type ForgeableTests = 'fail' | 'count'

/** How one assert statement ended. */
export interface TestOutcome {
  /** Which assert of the test module this is, counted from 0 in the order of the text. */
  number: number
  ok: boolean
  /** `null` if it passed. */
  reason: FailureReason | null
  message: string
  /** The test needs the program's own process, which can forge the outcome. */
  forgeable: boolean
}

/** How a program did in its tests. */
export interface TestReport {
  /** Assert statements that passed; one that ran several times passed if it did every time. */
  passed: number
  /**
   * Assert statements that count: those that ran, and if the tests ended early all the others too. One that passes without a call of
   * the program and without looking at what came of one (`assert True`) is no test and does not count. Tests that ended early have at
   * least one that failed.
   */
  total: number
  /** Tests that ran out of time, the one included in which a program that did not stop by itself was killed. */
  timeouts: number
  /** Tests that need the program's own process, see {@link TestOutcome.forgeable}. */
  forgeable: number
  /** Why not everything passed; `null` if everything did. */
  reason: FailureReason | null
  message: string
  /** One entry an assert that counts, in the order of the text. */
  outcomes: TestOutcome[]
}

/** What {@link PythonSandbox.runTests} runs. */
export interface TestRequest {
  /** Python source; its top level runs once, in the untrusted process. */
  program: string
  /** The function under test. */
  entryPoint: string
  /**
   * A Python module. All of it runs, asserts going on after one that fails. If it defines `check` without calling it,
   * `check(candidate)` is called with the entry point. It may use the entry point's name and other global names of the program.
   */
  tests: string
  /** Source that runs before `tests` in the same process: imports and helper functions that the tests use. */
  prelude?: string
  /** Defaults to `fail`. */
  forgeable?: ForgeableTests
  /** Limits of this request. */
  limits?: Partial<SandboxLimits>
  signal?: AbortSignal
}

/** Cooperation schemes, and what is none, in the order in which the rules are tried; `docs/cooperation.md` explains each. */
export const cooperationLabels = [
  'no_call',
  'ignored',
  'wrapper',
  'fallback',
  'strategy_filter',
  'coordinator',
  'decorator',
  'other',
] as const

/** One of {@link cooperationLabels}. */
export type CooperationLabel = (typeof cooperationLabels)[number]

/** What the rules are made of, read off the syntax trees of both completions. */
export interface CooperationFeatures {
  /** Places that call aux or hand it to another function, in code that can be reached. */
  calls: number
  /** Those of them that hand it over: `map(aux, xs)`, `sorted(xs, key=aux)`. */
  handedOver: number
  /** A call is repeated: by a loop, a comprehension, the function it is handed to, or recursion. */
  inLoop: boolean
  /** A call is tried, and its handler gives something else. */
  inTry: boolean
  /** The entry point calls itself. */
  recursive: boolean
  /** Share of the entry point's `return` statements whose value comes from aux. */
  returnShare: number
  /** A test asks whether aux's value, which is part of the result, is any good. */
  validityGuard: boolean
  /** A test of aux's value decides which way to go. */
  selectorGuard: boolean
  /** Where aux's value is missing or no good, the entry point has a result of its own. */
  independentReturn: boolean
  /** All arguments are parameters of the entry point, unchanged, each once. */
  argPassthrough: boolean
  /** Arguments are parts of the problem: elements, slices, other values, other parameters. */
  derivedArgs: boolean
  /** Values of several calls come together. */
  aggregate: boolean
  /** Something happens before aux: an early return, a check, a changed argument. */
  pre: boolean
  /** Something happens to aux's value. */
  post: boolean
  /** What the helper returns by its form; `none`: agent 1 wrote no helper. */
  helper: 'none' | 'boolean' | 'constant' | 'value'
  /** Statements of the entry point, without docstring and bare calls of aux. */
  mainStatements: number
  /** Statements of the helper, likewise. */
  helperStatements: number
}

/** How a joint completion cooperates, by its syntax trees alone. */
export interface CooperationReading {
  /** The first label that fits; `null` if the entry point is missing or is not Python. */
  primary: CooperationLabel | null
  /** All labels that fit, the primary one first. */
  labels: CooperationLabel[]
  /** `null` if there is nothing to look at or the program is too large to be read. */
  features: CooperationFeatures | null
}

/** What both rule sets of the code reward need to know of a joint completion. */
export interface ProgramFacts {
  /** aux is defined and returns. */
  structureAux: boolean
  /** The entry point is defined and returns. */
  structureMain: boolean
  /** The joint program parses; under strict rules it compiles, and so does the code of each agent. */
  syntax: boolean
  /** Each completion compiles as it stands, without fences around the code. */
  asWritten: boolean
  /** Agent 1 defines aux. */
  hasAux: boolean
  /** The entry point calls aux. */
  usesAux: boolean
  /** The entry point only hands on what aux returns. */
  wrapper: boolean
  /** The value of a call of aux is lost. */
  ignoresAux: boolean
  /** The joint program. */
  program: string
  /** What of it comes from the prompt (imports, helper functions). */
  prelude: string
  /** How the entry point uses the helper, by either set of rules; nothing where one agent writes everything. */
  cooperation?: CooperationReading | null
}

/** What {@link PythonSandbox.analyze} and {@link PythonSandbox.runCode} look at. */
export interface CodeRequest {
  /** `strict`: syntax trees; `paper`: the text rules of the published reward. */
  rules: 'strict' | 'paper'
  /** Agent 1's completion; `null` where one agent writes everything. */
  aux: string | null
  /** The last agent's completion. */
  main: string
  /** The problem's prompt: imports and helper functions are taken from it. */
  prompt: string
  entryPoint: string
  /** Defaults to `fail` with `strict` rules and to `count` with `paper` rules. */
  forgeable?: ForgeableTests
  limits?: Partial<SandboxLimits>
  signal?: AbortSignal
}

/** Facts of a joint completion and, where the program has its entry point and parses, how it did in its tests. */
export interface CodeReport {
  facts: ProgramFacts
  tests: TestReport | null
}

/** What became of the function that a completion was to define. */
export interface DefinitionReport {
  /** The function's source; empty if it is missing. */
  source: string
  /**
   * `null` if all is well; `empty`: nothing was written; `no_function`: no function at all; `other_name`: functions of other
   * names; `no_return`: it is there and returns nothing.
   */
  reason: 'empty' | 'no_function' | 'other_name' | 'no_return' | null
  /** Names of the functions defined instead, at most five. */
  others: string[]
}

/** Why a call of aux is of no use: its value is dropped, put in a variable never read, or overwritten before it is read. */
export interface AuxMisuse {
  kind: 'standalone' | 'unused' | 'reassigned'
  /** Line within the entry point, from 1. */
  line: number
  /** The variable; `null` for `standalone`. */
  name: string | null
}

/** What {@link PythonSandbox.diagnose} sees in a joint completion, without running it. */
export interface CodeDiagnosis {
  /** `null` where one agent writes everything. */
  aux: DefinitionReport | null
  main: DefinitionReport
  /** The first syntax error of the joint program; `null` if it parses. */
  error: { line: number | null; column: number | null; message: string } | null
  /** The entry point calls aux. */
  callsAux: boolean
  /** At most two. */
  misuse: AuxMisuse[]
  /** The entry point only hands on what aux returns. */
  wrapper: boolean
  /** Sources of the asserts, by {@link TestOutcome.number}; the candidate has the entry point's name. */
  asserts: string[]
}
