/** What the sandbox says of how a joint program uses its helper `aux`. The meaning of each word: `docs/cooperation.md`. */
import type { CodeRequest, TestReport } from './types.ts'

/** Cooperation schemes, and what is none, in the order in which the rules are tried. */
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

/** One joint completion to be read. */
export interface CooperationProgram {
  aux: string
  main: string
  entryPoint: string
}

/** What a stand-in for aux may always return. */
export type AuxConstant = boolean | number | string | null | never[]

/** What takes the place of agent 1's aux; `original` leaves it, `counting` counts its calls. */
export type AuxVariant =
  | { kind: 'original' | 'counting' | 'raising' | 'identity' }
  | { kind: 'constant'; value: AuxConstant }

/** What `PythonSandbox.experiment` runs. */
export interface ExperimentRequest extends Omit<CodeRequest, 'rules' | 'aux'> {
  aux: string
  test: string
  variant: AuxVariant
}

/** How the tests went with that aux; `counts` is what the program said, which nothing is scored by. */
export interface ExperimentReport {
  /** `null` if helper or entry point is missing or the joint program is not Python. */
  tests: TestReport | null
  counts: {
    /** Calls of the entry point by the tests. */
    tests: number
    /** Calls of aux within them, without its own recursion. */
    calls: number
    /** The most within one of them. */
    most: number
    /** The values aux gave, if they were at most four small constants. */
    seen: (boolean | number | string | null)[]
  } | null
}
