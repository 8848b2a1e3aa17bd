const listeners = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls `action` when the signal aborts, with one listener a signal however many actions wait for it: Node prints a warning
 * for a signal with many listeners, and a run's one signal is given to every reward.
 *
 * @returns a function that takes the action back
 */
export function onAbort(signal: AbortSignal | undefined, action: () => void): () => void {
  if (signal === undefined) return () => {}
  let actions = listeners.get(signal)
  if (actions === undefined) {
    const all = new Set<() => void>()
    actions = all
    listeners.set(signal, all)
    signal.addEventListener(
      'abort',
      () => {
        for (const each of [...all]) each()
        all.clear()
      },
      { once: true },
    )
  }
  const own = () => action()
  actions.add(own)
  return () => {
    actions.delete(own)
  }
}
