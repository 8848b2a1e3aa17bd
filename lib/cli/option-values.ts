import { InvalidArgumentError } from 'commander'

/** A whole number of at least `least`, for commander. */
export function integerFrom(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(
        `expected a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? ' up' : ` to ${most}`}.`,
      )
    return value
  }
}

/** A number from `least` to `most`, for commander; `above` leaves `least` itself out. */
export function numberFrom(least: number, most = Number.POSITIVE_INFINITY, above = false): (text: string) => number {
  return (text) => {
    const value = Number(text)
    const isLow = above ? value <= least : value < least
    if (text.trim() === '' || !Number.isFinite(value) || isLow || value > most)
      throw new InvalidArgumentError(
        `expected a number ${above ? 'above' : 'from'} ${least}${most === Number.POSITIVE_INFINITY ? ' up' : ` to ${most}`}.`,
      )
    return value
  }
}

/** Largest seed. */
export const maxSeed = 0xff_ff_ff_ff

/** Collects an option that may come several times. */
export function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text]
}

/** `auto`, `cpu` or `cuda:N`, for commander. */
export function deviceName(text: string): Device {
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(text)) throw new InvalidArgumentError('expected auto, cpu or cuda:N.')
  return (text === 'cuda' ? 'cuda:0' : text) as Device
}

/** What a model runs on. */
export type Device = 'auto' | 'cpu' | `cuda:${number}`
