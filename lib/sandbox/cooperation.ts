/** What the sandbox is asked about how a joint program uses its helper `aux`; what it answers is a `CooperationReading` of `types.ts`. */
import type { CodeRequest, TestReport } from './types.ts'

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
