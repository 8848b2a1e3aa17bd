/** What runs of format 1 did where their settings say nothing: defaults that have changed since, and settings that did not exist. */
const formerDefaults: Record<string, unknown> = {
  algorithm: { logProbs: 'model', ended: 'stop' },
  optimizer: { decay: 'all', moments: 'float32' },
  longPrompts: 'refuse',
}

/** Settings of a run of format 1, as a file has them, with the defaults of its time. */
export function withFormerDefaults(settings: Record<string, unknown>): Record<string, unknown> {
  const filled = { ...settings }
  for (const [name, value] of Object.entries(formerDefaults)) {
    if (typeof value === 'object') filled[name] = { ...value, ...(settings[name] as object | undefined) }
    else filled[name] ??= value
  }
  return filled
}
