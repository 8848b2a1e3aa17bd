/** The algorithms by name. A new one is a file beside this one, an import and a line here. */
import type { z } from 'zod'
import { ConfigError } from '../../base/errors.ts'
import { suggestion } from '../../base/nearest.ts'
import { choice, type Lines, located, noLines, section } from '../../base/validate.ts'
import type { ActorCriticOptions, Algorithm } from '../options/algorithm.ts'
import { type AlgorithmEntry, resolveAlgorithm } from './define.ts'
import type { OpenAlgorithmOptions } from './group-relative.ts'
import { grpo } from './grpo.ts'
import { iac } from './iac.ts'
import { maac } from './maac.ts'
import { magrpo } from './magrpo.ts'
import { mareinforce } from './mareinforce.ts'
import { maremax } from './maremax.ts'
import { marloo } from './marloo.ts'

/** Every algorithm, as the function that makes it of its settings. */
export const algorithms = {
  magrpo,
  mareinforce,
  marloo,
  maremax,
  grpo,
  iac,
  maac,
}

/** Name of an algorithm. */
export type AlgorithmName = keyof typeof algorithms

/** Names of the algorithms. */
export const algorithmNames = Object.keys(algorithms) as [AlgorithmName, ...AlgorithmName[]]

const entries = Object.values(algorithms).map(({ entry }) => entry)

/**
 * Everything particular to an algorithm, by its name.
 *
 * @throws ConfigError for a name that is not in the registry
 */
export function algorithmEntry({ name }: Pick<Algorithm, 'name'>): AlgorithmEntry {
  const found = entries.find((entry) => entry.name === name)
  if (found !== undefined) return found
  const message = `unknown value ${JSON.stringify(name)}; ${suggestion(String(name), algorithmNames)}`
  throw new ConfigError([{ path: 'name', message }], 'The algorithm')
}

/** An algorithm by its name and the settings of a configuration file, or all that is wrong with them. */
export function readAlgorithm(
  name: string,
  settings: Record<string, unknown>,
  lines?: Lines,
  prefix?: readonly string[],
) {
  const entry = algorithmEntry({ name })
  // Null as part of a definition: another algorithm has it.
  const lacks = (key: string) => entry.fixed[key as keyof Algorithm] === null && (settings[key] ?? null) !== null
  const isOwn = (key: string) => key in entry.shape || (key in entry.fixed && !lacks(key))
  const foreign = Object.keys(settings).filter((key) => !isOwn(key) && ownersOf(key).length > 0)
  const own = Object.fromEntries(Object.entries(settings).filter(([key]) => !foreign.includes(key)))
  const { value, issues } = resolveAlgorithm(entry, own, lines, prefix)
  for (const key of foreign) {
    const message = `${name} has no ${key}; leave it out, or use ${ownersOf(key).join(' or ')}`
    issues.push(located([...(prefix ?? []), key], message, lines ?? noLines))
  }
  return { value: issues.length > 0 ? null : value, issues }
}

/** The algorithms that have a setting. */
const ownersOf = (key: string) => entries.filter(({ shape }) => Object.hasOwn(shape, key)).map(({ name }) => name)

/**
 * An algorithm by its name, with settings that no type has matched to it.
 *
 * @throws ConfigError listing every setting that is out of range or that the algorithm does not have
 */
export function algorithmOf(name: string, settings: Record<string, unknown> = {}): Algorithm {
  const { value, issues } = readAlgorithm(name, settings)
  if (value === null) throw new ConfigError(issues, `The algorithm ${name}`)
  return value
}

/** An algorithm as a configuration has it: its name, and settings of which it knows some. */
export type AlgorithmConfig = { name: string } & OpenAlgorithmOptions & Omit<ActorCriticOptions, 'advantage'>

/** All settings of all algorithms, for references. Where two algorithms differ in a default, it is that of the first. */
export const algorithmSection = section({
  /** Which algorithm; docs/algorithms has a page for each. Defaults to `magrpo`. */
  name: choice(algorithmNames).default('magrpo'),
  ...(Object.assign({}, ...[...entries].reverse().map(({ shape }) => shape)) as z.ZodRawShape),
})
