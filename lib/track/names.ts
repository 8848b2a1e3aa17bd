/** Trackers that a configuration can name. */
export const trackerNames = ['tensorboard'] as const

/** One of {@link trackerNames}. */
export type TrackerName = (typeof trackerNames)[number]

/** A tracker as a configuration gives it: by name, or a module that exports one, or a function that makes one of `options`. */
export type TrackerConfig = TrackerName | { module: string; options?: unknown }
