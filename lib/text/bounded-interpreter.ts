/** Runs chat templates, programs that came with a model, within limits of steps, sizes and time. */
import { type Environment, Interpreter, Template } from '@huggingface/jinja'
import { TimeLimited } from '../base/within-time.ts'

/** Most parts of a template that are evaluated, loops counted each time: some thousand times what a long chat needs. */
const maxSteps = 4_000_000

/** Characters and list entries that a template may make besides some for each character of its messages. */
const freeSize = 2 ** 22
const sizePerCharacter = 64
/** An entry of a list takes as much memory as so many characters. */
const sizePerEntry = 8

/** Longest list of numbers, and widest indentation. */
export const maxRange = 100_000
const maxIndent = 1000

/** Half of the time that a template may take. */
const limitMs = 1000

/** What is used here of the library; its own declarations do not resolve for ESM with file extensions. */
interface Statement {
  type: string
}

interface Value {
  value: unknown
}

const LibraryInterpreter = Interpreter as unknown as new (
  environment: Environment,
) => { evaluate(statement: Statement | undefined, environment: Environment): Value }

/** Parts that give what is there already. */
const copiesNothing = new Set(['Identifier', 'MemberExpression', 'StringLiteral', 'IntegerLiteral', 'Ternary'])

/** A template that runs within limits. */
export class BoundedTemplate {
  readonly #limited = new TimeLimited(limitMs)
  readonly #program: Statement

  /** @throws Error of the parser, or for the limit of time */
  constructor(source: string) {
    this.#program = this.#limited.run(() => new Template(source).parsed as unknown as Statement)
  }

  /**
   * The text that the template gives.
   *
   * @param characters length of all texts given to it
   * @throws Error of the interpreter, or for a limit that is exceeded; once that of time was, it is not run again
   */
  render(environment: Environment, characters: number): string {
    return this.#limited.run(() => {
      const interpreter = new BoundedInterpreter(environment, freeSize + sizePerCharacter * characters)
      return String(interpreter.evaluate(this.#program, environment).value)
    })
  }
}

class BoundedInterpreter extends LibraryInterpreter {
  #steps = maxSteps
  #size: number
  /** Arguments that say how many spaces are to be made. */
  readonly #widths = new WeakSet<object>()

  constructor(environment: Environment, size: number) {
    super(environment)
    this.#size = size
  }

  override evaluate(statement: Statement | undefined, environment: Environment): Value {
    if (--this.#steps < 0) throw new Error(`it takes more than ${maxSteps} steps`)
    if (statement !== undefined) this.#noteWidths(statement)
    const result = super.evaluate(statement, environment)
    if (statement === undefined) return result
    if (!copiesNothing.has(statement.type)) this.#size -= sizeOf(result.value)
    if (this.#size < 0) throw new Error('it makes more text than any chat needs')
    if (this.#widths.has(statement)) checkWidths(result)
    return result
  }

  #noteWidths(statement: Statement): void {
    if (statement.type !== 'FilterExpression' && statement.type !== 'FilterStatement') return
    const { filter } = statement as unknown as { filter: { callee?: { value: string }; args?: Statement[] } }
    if (filter.callee?.value !== 'indent' && filter.callee?.value !== 'tojson') return
    for (const given of filter.args ?? []) {
      const { value, argument } = given as unknown as { value?: unknown; argument?: Statement }
      this.#widths.add(given.type === 'KeywordArgumentExpression' ? (value as Statement) : (argument ?? given))
    }
  }
}

function checkWidths({ value }: Value): void {
  const values: unknown[] = Array.isArray(value)
    ? value.map((each: Value) => each.value)
    : value instanceof Map
      ? [...value.values()].map((each: Value) => each.value)
      : [value]
  if (values.some((each) => typeof each === 'number' && each > maxIndent))
    throw new Error(`it indents by more than ${maxIndent} spaces`)
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  return sizePerEntry * (Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0)
}
