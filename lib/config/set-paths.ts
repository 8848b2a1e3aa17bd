import { parse } from 'yaml'
import { ConfigError } from '../base/errors.ts'

/** One `--set path.to.key=value`. */
export interface Setting {
  path: string[]
  /** The value as YAML reads it: `3`, `true`, `[a, b]`, `text`. */
  value: unknown
}

/**
 * Reads `path.to.key=value`. The value is YAML; `null` removes a setting, and `""` is an empty text.
 *
 * @throws ConfigError if there is no `=`, the path has an empty part, or the value is missing or no YAML
 */
export function parseSetting(text: string): Setting {
  const at = text.indexOf('=')
  const path = text.slice(0, Math.max(0, at)).split('.')
  if (at < 1 || path.some((part) => part.trim() === ''))
    throw new ConfigError([{ path: text, message: 'expected path.to.key=value' }], '--set')
  if (text.slice(at + 1).trim() === '') {
    const message = 'expected a value after "="; null removes the setting, "" is an empty text'
    throw new ConfigError([{ path: path.join('.'), message }], '--set')
  }
  try {
    return { path: path.map((part) => part.trim()), value: parse(text.slice(at + 1)) as unknown }
  } catch (error) {
    const message = `the value is not YAML: ${(error as Error).message.split('\n')[0]}`
    throw new ConfigError([{ path: path.join('.'), message }], '--set')
  }
}

/**
 * Puts a value into a plain object by its path and returns a new object; what lies on the way is made where it is missing.
 * A part of the path that is a number walks into a list, or makes one. Null as the value removes the key.
 *
 * @throws ConfigError if the path walks through something that has no keys
 */
export function applySetting(config: unknown, { path, value }: Setting): unknown {
  return put(config, path, 0, value)
}

function put(given: unknown, path: string[], depth: number, value: unknown): unknown {
  if (depth === path.length) return value
  const key = path[depth]!
  const container = (given === undefined || given === null) && /^\d+$/.test(key) ? [] : given
  if (Array.isArray(container)) {
    const index = Number(key)
    if (!Number.isInteger(index) || index < 0 || index > container.length)
      fail(path, depth, `expected a number from 0 to ${container.length}, the list's places`)
    const copy = [...(container as unknown[])]
    copy[index] = put(copy[index], path, depth + 1, value)
    return copy
  }
  if (container !== undefined && container !== null && typeof container !== 'object')
    fail(
      path,
      depth,
      `${JSON.stringify(container)} has no keys; replace it whole: '${wholeSetting(path, depth, container)}'`,
    )
  const copy = { ...(container as Record<string, unknown> | null | undefined) }
  const next = put(copy[key], path, depth + 1, value)
  if (next === null) delete copy[key]
  else Object.defineProperty(copy, key, { value: next, writable: true, enumerable: true, configurable: true })
  return copy
}

/** The setting that gives `given`, a name perhaps, and the key that was asked for: `task={name: mini-code, feedback: ...}`. */
function wholeSetting(path: string[], depth: number, given: unknown): string {
  const name = typeof given === 'string' ? `name: ${given}, ` : ''
  return `${path.slice(0, depth).join('.')}={${name}${path[depth]}: ...}`
}

function fail(path: string[], depth: number, message: string): never {
  const issue = { path: path.join('.'), message: `${path.slice(0, depth).join('.') || 'the top level'}: ${message}` }
  throw new ConfigError([issue], '--set')
}
