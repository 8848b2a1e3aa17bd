/** The sentences of feedback about a code task's program, as lines without bullets. */
import type { AuxMisuse, DefinitionReport } from '../../sandbox/types.ts'
import { isAllPassed, type ShownTest, type TurnAnalysis } from './feedback-analysis.ts'

/** Who reads: the author of aux, the author of the entry point, or one agent that writes everything. */
type FeedbackRole = 'aux' | 'main' | 'single'

/** The one line of mode `passed`. */
export function passedSignal(analysis: TurnAnalysis): string {
  return isAllPassed(analysis) ? 'Result: all levels passed.' : 'Result: not all levels passed.'
}

/** Mode `level_passed`: a short line a level. */
export function compactSignals(analysis: TurnAnalysis, role: FeedbackRole): string[] {
  const { diagnosis, tests, testCount } = analysis
  const own = role === 'aux' ? diagnosis.aux : diagnosis.main
  const passed = (tests ?? []).filter(({ ok }) => ok).length
  const result =
    testCount === 0
      ? 'none found'
      : passed === 0
        ? 'none passed'
        : passed === testCount
          ? 'all passed'
          : `${passed} of ${testCount} passed`
  return [
    `Implementation: ${own?.source && own.reason === null ? 'OK' : own?.source ? 'returns nothing' : 'missing'}`,
    `Syntax: ${diagnosis.error === null ? 'correct' : 'not correct'}`,
    `Tests: ${result}`,
    ...(role === 'main' ? [`Use of aux: ${compactUse(analysis)}`] : []),
  ]
}

function compactUse({ diagnosis }: TurnAnalysis): string {
  if (diagnosis.main.source === '') return 'the main function is missing'
  if (!diagnosis.callsAux) return 'aux is not called'
  return diagnosis.misuse.length > 0
    ? 'aux is called, but its result is not used properly'
    : 'aux is called and its result is used'
}

/** Mode `level_feedback`: everything that is known, failing asserts included. */
export function detailedSignals(analysis: TurnAnalysis, role: FeedbackRole): string[] {
  const { diagnosis } = analysis
  return [
    ...(role !== 'single' && diagnosis.aux ? [`Definition of aux: ${definition(diagnosis.aux)}`] : []),
    `Definition of the main function: ${definition(diagnosis.main)}`,
    `Syntax of the whole program: ${syntax(analysis)}`,
    ...testLines(analysis),
    ...(role === 'main' ? useLines(analysis) : []),
  ]
}

function definition({ reason, others }: DefinitionReport): string {
  switch (reason) {
    case null:
      return 'found.'
    case 'no_return':
      return 'found, but it returns nothing.'
    case 'empty':
      return 'missing: the answer was empty.'
    case 'other_name':
      return `missing: the answer defines ${others.join(', ')} instead.`
    case 'no_function':
      return 'missing: the answer defines no function.'
  }
}

function syntax({ diagnosis: { error } }: TurnAnalysis): string {
  if (error === null) return 'OK.'
  const place = [
    ...(error.line === null ? [] : [`line ${error.line}`]),
    ...(error.column === null ? [] : [`column ${error.column}`]),
  ]
  return `error${place.length > 0 ? ` at ${place.join(', ')}` : ''}: ${error.message}.`
}

function testLines({ tests, testCount }: TurnAnalysis): string[] {
  if (testCount === 0) return ['Tests: none found.']
  if (tests === null) return ['Tests: not run, because the program is not complete.']
  const failing = tests.filter(({ ok }) => !ok)
  return [`Tests: ${testCount - failing.length} of ${testCount} passed.`, ...failing.map(failure)]
}

function failure({ assert, reason, message }: ShownTest): string {
  const error =
    reason === 'assert' ? ['AssertionError', message] : reason === 'exception' ? [message] : [reason, message]
  return `Failed: ${assert} -> ${error.filter(Boolean).join(': ')}`
}

function useLines({ diagnosis }: TurnAnalysis): string[] {
  if (diagnosis.main.source === '') return []
  if (!diagnosis.callsAux) return ['Use of aux: the main function does not call aux.']
  const use =
    diagnosis.misuse.length === 0
      ? 'the main function calls aux and uses what it returns.'
      : `the main function misuses aux: ${diagnosis.misuse.map(misuse).join('; ')}.`
  const thin = 'The main function is only a thin wrapper around aux: give it work of its own.'
  return [`Use of aux: ${use}`, ...(diagnosis.wrapper ? [thin] : [])]
}

function misuse({ kind, line, name }: AuxMisuse): string {
  switch (kind) {
    case 'standalone':
      return `the call in its line ${line} drops the result`
    case 'unused':
      return `the result is put into ${name} in its line ${line} and never used`
    case 'reassigned':
      return `the result in ${name} of its line ${line} is overwritten before it is used`
  }
}
