/**
 * Where tests find real models, shared data and golden values. Nothing here fetches: `scripts/fixtures` does, when a person asks.
 * A test whose fixture is missing says so and is counted as skipped: `if (model === undefined) return skip(t, 'smollm2')`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import { skipBecause } from './skip.ts'

/** The repository's root folder. */
export const repositoryDir = resolve(fileURLToPath(import.meta.url), '../../..')

/** The folder `../shared` beside the repository (data, models), or undefined where a checkout stands alone. */
export function sharedDir(): string | undefined {
  const folder = join(repositoryDir, '../shared')
  return existsSync(folder) ? folder : undefined
}

/**
 * The folder of a real model: looked for in the cache (`~/.cache/magrpo/fixtures`, or `MAGRPO_CACHE/fixtures`), in the folder named
 * by `MAGRPO_FIXTURES`, and in `../shared/models`, in this order.
 *
 * @param name folder name, for example `stories260K`
 */
export function findModel(name: string): string | undefined {
  const places = [
    join(process.env.MAGRPO_CACHE ?? join(homedir(), '.cache', 'magrpo'), 'fixtures'),
    process.env.MAGRPO_FIXTURES,
    join(repositoryDir, '../shared/models'),
  ]
  return places
    .filter((place): place is string => Boolean(place))
    .map((place) => resolve(place, name))
    .find((folder) => existsSync(join(folder, 'config.json')) && existsSync(join(folder, 'model.safetensors')))
}

/** stories260K (260,032 parameters, has a tokenizer), made by `scripts/fixtures/stories260k.mjs`. */
export const storiesModel = (): string | undefined => findModel('stories260K')

/** babyllama-tok105 (936,448 parameters, ids only), which comes with `../shared/models`. */
export const babyModel = (): string | undefined => findModel('babyllama-tok105')

/** SmolLM2-135M-Instruct (bfloat16, chat template), made by `scripts/fixtures/smollm2.py`. */
export const smolModel = (): string | undefined => findModel('SmolLM2-135M-Instruct')

/** The folder `test/golden/<name>`; without a name, `test/golden`. */
export const goldenDir = (name = ''): string => join(repositoryDir, 'test/golden', name)

/** Reads a JSON file below `test/golden`; the caller names its type. */
export const readGolden = <T>(path: string): T => JSON.parse(readFileSync(goldenDir(path), 'utf8')) as T

/** Leaves out a test that cannot run here and prints why; `what` is the fixture or folder that is missing and how to get it. */
export function skip(t: ExecutionContext, what: string): void {
  skipBecause(t, `${what} is missing`)
}
