import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { expectText } from '../base/arguments.ts'
import { MagrpoError } from '../base/errors.ts'
import { suggestion } from '../base/nearest.ts'
import { packageDir } from '../base/package-dir.ts'

/** Files that go with weights as they are, for magrpo and for transformers, where a model has them. */
export const companionFiles = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
]

/** What makes each model that examples and tests use, with a script of `scripts/fixtures`. */
const fixtureScripts: Record<string, [program: string, script: string]> = {
  stories260K: ['node', 'stories260k.mjs'],
  'SmolLM2-135M-Instruct': ['python3', 'smollm2.py'],
}

/** Models inside the package. */
const builtinModels = ['mini-code']

/**
 * The folder that a model's name in a configuration stands for.
 *
 * `builtin:NAME` is a model inside this package. `fixture:NAME` is one of the small models of the examples: looked for in the
 * cache (`~/.cache/magrpo/fixtures`, or `fixtures` in the folder named by `MAGRPO_CACHE`), in the folder named by
 * `MAGRPO_FIXTURES`, and in `../shared/models` beside a clone. Anything else is given back as it is.
 *
 * @throws MagrpoError `ERR_MODEL_NOT_FOUND` naming the places looked at and the script that makes the model
 */
export function modelFolder(source: string, env: NodeJS.ProcessEnv = process.env): string {
  expectText(source, 'source of modelFolder')
  const [, kind, name] = /^(builtin|fixture):(.*)$/.exec(source) ?? []
  if (kind === 'builtin') {
    if (builtinModels.includes(name!)) return join(packageDir, 'models', name!)
    throw notFound(source, `There is no built-in model ${JSON.stringify(name)}; ${suggestion(name!, builtinModels)}`)
  }
  if (kind !== 'fixture') return source
  const places = fixturePlaces(env)
  const found = places.map((place) => resolve(place, name!)).find((folder) => existsSync(join(folder, 'config.json')))
  if (found !== undefined && name !== '') return found
  const script = fixtureScripts[name!]
  const remedy =
    script === undefined
      ? `known: ${Object.keys(fixtureScripts).join(', ')}; or put a folder of that name into one of these places`
      : `make it with: ${script[0]} ${displayPath(join(packageDir, 'scripts/fixtures', script[1]))}`
  throw notFound(source, `The model ${JSON.stringify(name)} is in none of ${places.join(', ')}; ${remedy}.`)
}

/** A path as a person would type it here. */
function displayPath(path: string): string {
  const fromHere = relative(process.cwd(), path)
  return fromHere.startsWith('..') ? path : fromHere
}

function fixturePlaces(env: NodeJS.ProcessEnv): string[] {
  const cache = join(env.MAGRPO_CACHE || join(homedir(), '.cache', 'magrpo'), 'fixtures')
  return [cache, ...(env.MAGRPO_FIXTURES ? [env.MAGRPO_FIXTURES] : []), join(packageDir, '../shared/models')]
}

function notFound(source: string, message: string): MagrpoError {
  return new MagrpoError('ERR_MODEL_NOT_FOUND', message, { details: { source } })
}
