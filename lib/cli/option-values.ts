import { InvalidArgumentError } from 'commander'
import { ConfigError } from '../base/errors.ts'
import { parseSetting, type Setting } from '../config/set-paths.ts'
import { UsageError } from './output.ts'

/** A whole number from `least` to `most`, for commander. */
export function integerFrom(least: number, most?: number): (text: string) => number {
  return numberFrom(least, most, { isWhole: true })
}

/** A number from `least` to `most`, for commander; `above` leaves `least` itself out. */
export function numberFrom(least: number, most = Number.POSITIVE_INFINITY, { above = false, isWhole = false } = {}) {
  const kind = isWhole ? 'whole number' : 'number'
  const range = `${above ? 'above' : 'from'} ${least}${most === Number.POSITIVE_INFINITY ? ' up' : ` to ${most}`}`
  return (text: string): number => {
    const value = Number(text)
    const isKind = isWhole ? Number.isSafeInteger(value) : Number.isFinite(value)
    if (text.trim() === '' || !isKind || value < least || (above && value === least) || value > most)
      throw new InvalidArgumentError(`expected a ${kind} ${range}.`)
    return value
  }
}

/** Largest seed. */
export const maxSeed = 0xff_ff_ff_ff

/** Collects an option that may come several times. */
export function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text]
}

/**
 * What `--set` gave, as settings.
 *
 * @throws UsageError for a text that is none
 */
export function settingsFrom(texts: readonly string[] = []): Setting[] {
  try {
    return texts.map(parseSetting)
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message)
    throw error
  }
}

/** `auto`, `cpu` or `cuda:N`, for commander. */
export function deviceName(text: string): Device {
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(text)) throw new InvalidArgumentError('expected auto, cpu or cuda:N.')
  return (text === 'cuda' ? 'cuda:0' : text) as Device
}

/** What a model runs on. */
export type Device = 'auto' | 'cpu' | `cuda:${number}`
