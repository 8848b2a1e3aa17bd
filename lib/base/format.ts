/** A length of time for people: `8 s`, `3 min 05 s`, `2 h 07 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–'
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (value: number) => String(value).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}

/** Bytes for people, in binary units: `512 B`, `1.4 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** A count or a rate for people: `950`, `12.3k`, `4.5M`. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) < 1000) return String(Math.round(value))
  if (Math.abs(value) < 999_950) return `${(value / 1000).toFixed(1)}k`
  return `${(value / 1e6).toFixed(1)}M`
}

/** A metric for people: three decimals, or an exponent where those would say nothing. */
export function formatMetric(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  if (value === 0) return '0.000'
  const size = Math.abs(value)
  return size < 0.001 || size >= 1e6 ? value.toExponential(1) : value.toFixed(3)
}
