/**
 * What an algorithm is: settings, a way from returns to advantages, and a critic or none. Each stands in a file of its own and in
 * one line of the registry; nothing else asks for its name.
 */
import { z } from 'zod'
import { ConfigError, type ConfigIssue } from '../../base/errors.ts'
import { type Lines, located as locate, noLines, resolve, section, validate } from '../../base/validate.ts'
import type { Credit } from '../credit/types.ts'
import type { Algorithm } from '../options/algorithm.ts'

/** Everything that is particular to one algorithm. */
export interface AlgorithmEntry<Shape extends z.ZodRawShape = z.ZodRawShape> {
  name: string
  /** One sentence for help texts and pages. */
  about: string
  /** Fields of its settings, with defaults and bounds. */
  shape: Shape
  /** Whose values its critic estimates: one per agent (`own`), or one for all (`team`). Null: it has none. */
  critic: { scope: 'own' | 'team' } | null
  /** Most agents it trains. Defaults to any number. */
  maxAgents?: number
  /** What it is by definition: a setting of these names may be given with this value only. */
  fixed: Partial<Algorithm>
  /** From the settings, defaults filled in, to the rest of the algorithm. */
  resolve(settings: z.output<z.ZodObject<Shape>>): Partial<Algorithm>
  /** What is out of range in a resolved algorithm, beyond the bounds of the fields. */
  check?(algorithm: Algorithm): ConfigIssue[]
  /** From returns to each agent's advantages. */
  credit: Credit
}

/** Makes an algorithm of settings; see the registry. */
export interface AlgorithmMaker<Options> {
  (options?: Options): Algorithm
  readonly entry: AlgorithmEntry
}

/**
 * Makes the function that users call.
 *
 * @typeParam Options its settings as their docstrings describe them
 */
export function defineAlgorithm<Options extends object, Shape extends z.ZodRawShape = z.ZodRawShape>(
  typed: AlgorithmEntry<Shape>,
): AlgorithmMaker<Options> {
  const entry = typed as unknown as AlgorithmEntry
  const make = (options?: Options): Algorithm => {
    const what = `The algorithm ${entry.name}`
    const { value, issues } = resolveAlgorithm(
      entry,
      resolve(z.looseObject({}), options === undefined ? {} : options, what),
    )
    if (value === null) throw new ConfigError(issues, what)
    return value
  }
  return Object.assign(make, { entry })
}

/** An algorithm of settings that no type has matched to it, or all that is wrong with them. */
export function resolveAlgorithm(
  entry: AlgorithmEntry,
  given: Record<string, unknown>,
  lines: Lines = noLines,
  prefix: readonly string[] = [],
): { value: Algorithm | null; issues: ConfigIssue[] } {
  const { own, issues } = withoutFixed(entry, given)
  const settings = validate(section(entry.shape), own, lines, prefix)
  const value = settings.value && ({ name: entry.name, ...entry.fixed, ...entry.resolve(settings.value) } as Algorithm)
  issues.push(...((value && entry.check?.(value)) ?? []))
  const located = issues.map(({ path, message }) => locate([...prefix, ...path.split('.')], message, lines))
  const all = [...located, ...(settings.issues ?? [])]
  return { value: all.length > 0 ? null : value, issues: all }
}

/** The settings less those that only repeat a definition; others of these names are issues. */
function withoutFixed({ name, fixed }: AlgorithmEntry, given: Record<string, unknown>) {
  const issues: ConfigIssue[] = []
  const own: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(given)) {
    const right = fixed[key as keyof Algorithm]
    if (!Object.hasOwn(fixed, key)) own[key] = value
    else if (value !== undefined && value !== right) {
      const what = right === null ? `${name} has no ${key}` : `${name} has ${key} '${right}' by definition`
      issues.push({ path: key, message: `${what}, received ${JSON.stringify(value)}; leave it out` })
    }
  }
  return { own, issues }
}
