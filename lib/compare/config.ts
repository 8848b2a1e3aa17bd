/** The configuration of `magrpo compare`: which methods, on which task, how often. */

import { z } from 'zod'
import { expectList, expectObject, expectText } from '../base/arguments.ts'
import { ConfigError, type ConfigIssue } from '../base/errors.ts'
import { flag, integer, seed, text, unfilled } from '../base/fields.ts'
import { choice, type Lines, located, noLines, section, validate } from '../base/validate.ts'
import { choiceSchema } from '../config/choice.ts'
import { type ResolveOptions, type RunConfig, readConfigFile, resolveConfig, type TaskConfig } from '../config/load.ts'
import { nameSchema, samplingSchema, type TeamConfig, teamSchema } from '../config/schema.ts'
import { applySetting, type Setting } from '../config/set-paths.ts'
import type { Sampling } from '../model/sampling.ts'
import { maxRows, rewardCallShape } from '../rl/options/run.ts'
import { type BaselineName, baselineNames } from '../tasks/task/baselines.ts'

const methodSchema = section({
  /** What the row is called. */
  name: text().optional(),
  /** An untrained way to play: `single`, `parallel`, `pipeline`, `discussion`. Left out, the team plays. */
  baseline: choice(baselineNames).optional(),
  /** Its team, in the place of the comparison’s. */
  team: teamSchema.optional(),
  /** A run folder whose weights it has, or one per seed. */
  run: z.union([text(), z.array(text()).min(1)]).optional(),
  /** A configuration (or its file) that is trained first, once per seed. */
  train: choiceSchema.optional(),
  /** Which weights of a run: `final`, `best`, or `initial`. Defaults to `final`. */
  weights: choice(['final', 'best', 'initial']).optional(),
  /** Whose weights a single model has. Defaults to what the task says. */
  agent: text().optional(),
  /** Whether finished trainings of an earlier comparison in the same folder are done again. Defaults to `true`. */
  retrain: flag().default(true),
  /**
   * What a single model’s answer without a delimiter is worth: nothing (`strict`), or a cut at random (`cut`). Defaults to
   * `strict`.
   */
  missingDelimiter: choice(['strict', 'cut']).default('strict'),
  /** Turns of an episode. Defaults to those of the run or the training, else to 1. */
  turns: integer({ from: 1 }).optional(),
  /** How it draws, in the place of the comparison’s. */
  sampling: samplingSchema.optional(),
})

/** The schema of a comparison's file; the tasks and trainings in it are checked by their own. */
export const compareSchema = section({
  /** Name of the comparison. Defaults to the name of the file. */
  name: nameSchema.optional(),
  /** The task all methods play, on its held-out items. */
  task: choiceSchema,
  /** The team of methods that name none. */
  team: teamSchema.optional(),
  /** How completions are drawn. What is left out comes from the task, then from the defaults. */
  sampling: samplingSchema.default({}),
  /** Held-out items, from the first on. Defaults to all. */
  items: integer({ from: 1 }).optional(),
  /** Joint completions per item and seed. Defaults to `1`. */
  samples: integer({ from: 1 }).default(1),
  /** So many seeds, from 0 on, or a list of them. Defaults to `3`. */
  seeds: z.union([integer({ from: 1 }), z.array(seed()).min(1)]).default(3),
  /** Items generated alone for speed and response time; `0` leaves both out. Defaults to `8`. */
  timedItems: integer({ from: 0 }).default(8),
  /** Prefixes of the task’s metrics that get a table. Defaults to those of the task. */
  metrics: z.array(text()).optional(),
  /** Most completions generated in one batch. Defaults to `256`. */
  ...unfilled({ maxRows, ...rewardCallShape }),
  /** What is compared, in the order of the rows. */
  methods: z.array(methodSchema).min(1),
})

type RawCompare = z.infer<typeof compareSchema>
type RawMethod = RawCompare['methods'][number]

/** Where a method's weights come from. */
export type WeightSource =
  | { from: 'models'; team: TeamConfig }
  /** One run folder for all seeds, or one per seed. */
  | { from: 'run'; runs: string[]; weights: 'final' | 'best' | 'initial' }
  | { from: 'training'; config: RunConfig; weights: 'final' | 'best'; retrain: boolean }

/** One method of a comparison. */
export interface MethodConfig extends Pick<RawMethod, 'agent' | 'missingDelimiter' | 'turns'> {
  name: string
  play: BaselineName | 'team'
  source: WeightSource
  sampling: Sampling
}

/** A comparison that is known to be valid. Paths in it are relative to the working directory. */
export interface CompareConfig extends Omit<RawCompare, 'task' | 'team' | 'methods'> {
  name: string
  task: TaskConfig
  seeds: number[]
  metrics: string[]
  methods: MethodConfig[]
}

const titles: Record<MethodConfig['play'], string> = {
  team: 'MAGRPO',
  single: 'Single model',
  parallel: 'Parallel generation',
  pipeline: 'Sequential pipeline',
  discussion: 'One-round discussion',
}

/**
 * Reads and checks a comparison's YAML file, and the training configurations it names.
 *
 * @throws ConfigError listing everything that is wrong, each with its line; `ERR_CONFIG` if a file is no YAML or cannot be read
 */
export async function loadCompareConfig(file: string, settings: readonly Setting[] = []): Promise<CompareConfig> {
  expectText(file, 'file of loadCompareConfig')
  const { value, ...names } = await readConfigFile(file)
  return resolveCompareConfig(value, { settings, ...names })
}

/** How {@link resolveCompareConfig} names things. */
export interface ResolveCompareOptions extends ResolveOptions {}

/** Checks a comparison given as a plain object; see {@link loadCompareConfig}. */
export async function resolveCompareConfig(
  input: unknown,
  options: ResolveCompareOptions = {},
): Promise<CompareConfig> {
  expectObject(options, 'options of resolveCompareConfig')
  const { settings = [], lines = noLines, where = 'The comparison', name: fallback = 'compare' } = options
  expectList(settings, 'settings of resolveCompareConfig')
  const merged = settings.reduce((config: unknown, setting) => applySetting(config, setting), input)
  // A line of the file says nothing about a value that was put over it; without settings all lines are right.
  const known = settings.length === 0 ? lines : noLines
  const { value: raw, issues: found } = validate(compareSchema, merged, known)
  const task = resolvePart({ task: (merged as { task?: unknown } | null)?.task }, known, [])
  const issues = [...(found ?? [])]
  issues.push(...task.issues.filter(({ path }) => issues.every((issue) => issue.path !== path)))
  if (raw === null || task.value === null) throw new ConfigError(issues, where)
  const seeds = typeof raw.seeds === 'number' ? Array.from({ length: raw.seeds }, (_, index) => index) : raw.seeds
  const methods: MethodConfig[] = []
  for (const [index, method] of raw.methods.entries()) {
    const path = ['methods', index]
    checkMethod(method, raw, seeds, (key, message) => issues.push(located([...path, key], message, known)))
    const source = await sourceOf(method, raw, path, known, issues)
    const { baseline, agent, missingDelimiter, turns, sampling = {} } = method
    const play = baseline ?? 'team'
    const title =
      method.name ?? (play === 'single' && source?.from === 'training' ? 'Fine-tuned single model' : titles[play])
    if (source) methods.push({ name: title, play, source, agent, missingDelimiter, turns, sampling })
  }
  for (const [index, { name }] of methods.entries()) {
    const message = `expected different names of methods but ${JSON.stringify(name)} comes twice`
    if (methods.findIndex((other) => other.name === name) < index)
      issues.push(located(['methods', index, 'name'], message, known))
  }
  if (new Set(seeds).size !== seeds.length) issues.push(located(['seeds'], 'expected different seeds', known))
  if (issues.length > 0) throw new ConfigError(issues, where)
  const { name = fallback, team: _team, metrics = ['cooperation/', 'convention/'], ...rest } = raw
  return { name, ...rest, task: task.value.task, seeds, metrics, methods }
}

/** @param fail called with what is wrong with a key of the method */
function checkMethod(
  method: RawMethod,
  raw: RawCompare,
  seeds: readonly number[],
  fail: (key: string, message: string) => void,
): void {
  const { baseline, run, train, team, weights, turns } = method
  if (run !== undefined && train !== undefined) fail('train', 'give run or train, not both')
  if (run === undefined && train === undefined && team === undefined && raw.team === undefined)
    fail(
      'team',
      'missing; give the method a run, a training or a team of models, or give the comparison a team for all',
    )
  if (run !== undefined && team !== undefined) fail('team', 'a run has its team already; leave it out')
  if (weights !== undefined && run === undefined && train === undefined)
    fail('weights', 'only a run or a training has them')
  if (weights === 'initial' && train !== undefined) fail('weights', 'a training has final and best ones')
  if (Array.isArray(run) && run.length !== seeds.length)
    fail('run', `expected one run for all seeds or ${seeds.length}, one a seed, but received ${run.length}`)
  if (baseline !== undefined && turns !== undefined) fail('turns', `${baseline} has rounds of its own; leave it out`)
  for (const key of ['agent', 'missingDelimiter'] as const)
    if (method[key] !== undefined && method[key] !== 'strict' && baseline !== 'single')
      fail(key, 'only for baseline: single')
}

async function sourceOf(
  method: RawMethod,
  raw: RawCompare,
  path: PropertyKey[],
  lines: Lines,
  issues: ConfigIssue[],
): Promise<WeightSource | null> {
  const { run, train, retrain, weights = 'final' } = method
  if (run !== undefined) return { from: 'run', runs: typeof run === 'string' ? [run] : run, weights }
  const models = method.team ?? raw.team
  if (train === undefined) return models === undefined ? null : { from: 'models', team: models }
  const at = [...path, 'train']
  const file = typeof train === 'string' ? await readConfigFile(train) : undefined
  const settings = file?.value ?? (train as Record<string, unknown>)
  // What is trained is what is compared, unless the training says otherwise.
  const input = { team: models, ...settings, task: settings.task ?? raw.task }
  const resolved = file ? resolvePart(input, file.lines, [], true) : resolvePart(input, lines, at, true)
  issues.push(
    ...resolved.issues.map((issue) => (file ? { ...issue, path: `${at.join('.')} (${train}): ${issue.path}` } : issue)),
  )
  const chosen = weights === 'initial' ? 'final' : weights
  return resolved.value && { from: 'training', config: resolved.value, weights: chosen, retrain }
}

/** A part of a run's configuration, checked by its own rules; `path` is where it stands in the comparison. */
function resolvePart(
  input: object,
  lines: Lines,
  path: PropertyKey[],
  isWhole = false,
): { value: RunConfig | null; issues: ConfigIssue[] } {
  const filled = isWhole ? input : { team: { model: '-' }, optimizer: { learningRate: 0 }, steps: 1, ...input }
  const inner: Lines = { at: (part) => lines.at([...path, ...part]) }
  try {
    return { value: resolveConfig(filled, { lines: inner }), issues: [] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const prefix = path.map((part) => `${String(part)}.`).join('')
    return { value: null, issues: error.issues.map((issue) => ({ ...issue, path: prefix + issue.path })) }
  }
}
