import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ConfigError, type ConfigIssue, MagrpoError } from '../base/errors.ts'
import { checkRegularFile } from '../base/read-files.ts'
import { type Lines, located, noLines, readYaml, validate } from '../base/validate.ts'
import { type AlgorithmConfig, algorithmNames, readAlgorithm } from '../rl/algorithms/registry.ts'
import { type TaskName, taskRegistry } from '../tasks/names.ts'
import { type TrackerName, trackerRegistry } from '../track/names.ts'
import { type Choice, readChoice } from './choice.ts'
import { configSchema, type RawConfig } from './schema.ts'
import { applySetting, type Setting } from './set-paths.ts'

/** Which task a run trains: a built-in one with its checked options, or a user's module. */
export type TaskConfig = Choice<TaskName>

/** A tracker of a run: a built-in one with its checked options, or a user's module. */
export type TrackerConfig = Choice<TrackerName>

/** A configuration that is known to be valid. Paths in it are relative to the working directory. */
export interface RunConfig extends Omit<RawConfig, 'task' | 'algorithm' | 'trackers'> {
  name: string
  runDir: string
  task: TaskConfig
  algorithm: AlgorithmConfig
  trackers: TrackerConfig[]
}

/**
 * Reads and checks a YAML configuration.
 *
 * @param file path of the YAML file
 * @param settings values put over those of the file, in order
 * @throws ConfigError listing everything that is wrong, each with its line; `ERR_CONFIG` if the file is no YAML or cannot be read
 */
export async function loadConfig(file: string, settings: readonly Setting[] = []): Promise<RunConfig> {
  const { value, ...names } = await readConfigFile(file)
  return resolveConfig(value, { settings, ...names })
}

/**
 * Reads a YAML file, and what names the things in it: its lines, its path, and its name in the form of a run's.
 *
 * @throws MagrpoError `ERR_CONFIG` if the file is no YAML or cannot be read
 */
export async function readConfigFile(file: string) {
  try {
    await checkRegularFile(file, 'ERR_CONFIG')
    return { ...readYaml(await readFile(file, 'utf8'), file), where: file, name: nameOf(basename(file)) }
  } catch (cause) {
    if (cause instanceof MagrpoError) throw cause
    const message = `The configuration ${file} cannot be read: ${(cause as Error).message}.`
    throw new MagrpoError('ERR_CONFIG', message, { details: { file }, cause })
  }
}

/** Name of a run by that of its file; undefined if nothing is left of it. */
const nameOf = (file: string) =>
  file
    .replace(/\.ya?ml$/i, '')
    .replace(/[^\w.-]+/g, '-')
    .replace(/^[.-]+/, '') || undefined

/** How {@link resolveConfig} names things. */
export interface ResolveOptions {
  settings?: readonly Setting[]
  lines?: Lines
  /** What the message of an error calls the configuration. */
  where?: string
  /** The run's name where the configuration gives none. Defaults to `run`. */
  name?: string
}

/**
 * Checks a configuration given as a plain object, with settings put over it.
 *
 * @throws ConfigError listing everything that is wrong
 */
export function resolveConfig(input: unknown, options: ResolveOptions = {}): RunConfig {
  const { settings = [], where = 'The configuration', name = 'run' } = options
  const merged = settings.reduce((config: unknown, setting) => applySetting(config, setting), input)
  const lines = withoutSettings(options.lines ?? noLines, settings)
  const raw = validate(configSchema, merged, lines)
  const given = merged as { task?: unknown; algorithm?: unknown; trackers?: unknown }
  const task = readChoice('task', taskRegistry, given.task, lines, ['task'])
  const trackers = (Array.isArray(given.trackers) ? given.trackers : []).map((tracker, index) =>
    readChoice('tracker', trackerRegistry, tracker, lines, ['trackers', index]),
  )
  const algorithm = readSettings(given.algorithm, lines)
  const chosen = [task, ...trackers].flatMap(({ issues }) => issues ?? [])
  const issues = [...(raw.issues ?? []), ...chosen, ...algorithm, ...crossChecks(merged, lines)]
  const different = new Map(issues.map((issue) => [`${issue.path}: ${issue.message}`, issue]))
  if (issues.length > 0) throw new ConfigError([...different.values()], where)
  const config = raw.value as RawConfig
  const runName = config.name ?? name
  return {
    ...config,
    algorithm: config.algorithm as AlgorithmConfig,
    name: runName,
    runDir: config.runDir ?? join('runs', runName),
    task: task.value as TaskConfig,
    trackers: trackers.map(({ value }) => value as TrackerConfig),
  }
}

/** A line says nothing about a value that was put over the file's. */
function withoutSettings(lines: Lines, settings: readonly Setting[]): Lines {
  const isSet = (path: readonly PropertyKey[]) =>
    settings.some((setting) => setting.path.every((key, index) => index >= path.length || key === String(path[index])))
  return { at: (path) => (isSet(path) ? undefined : lines.at(path)) }
}

/** What is wrong with the settings of an algorithm whose name is known. */
function readSettings(input: unknown, lines: Lines): ConfigIssue[] {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return []
  const { name = 'magrpo', ...settings } = input as Record<string, unknown>
  const isKnown = algorithmNames.some((known) => known === name)
  return isKnown ? readAlgorithm(String(name), settings, lines, ['algorithm']).issues : []
}

/** What no schema of one key can say. */
function crossChecks(input: unknown, lines: Lines): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const config = input as { steps?: unknown; epochs?: unknown; team?: { model?: unknown; models?: unknown } }
  if (config.steps === undefined && config.epochs === undefined)
    issues.push(located(['steps'], 'missing; give steps or epochs', lines))
  if (config.steps !== undefined && config.epochs !== undefined)
    issues.push(located(['epochs'], 'give steps or epochs, not both', lines))
  const { team } = config
  if (typeof team === 'object' && team !== null) {
    if (team.model === undefined && team.models === undefined)
      issues.push(located(['team', 'model'], 'missing; give model for all agents, or models, one an agent', lines))
    if (team.model !== undefined && team.models !== undefined)
      issues.push(located(['team', 'models'], 'give model or models, not both', lines))
  }
  return issues
}
