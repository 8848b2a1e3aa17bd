/** Names of the built-in trackers. */
import type { TrackerEntry } from './entry.ts'
import * as registry from './registry.ts'

/** Name of a built-in tracker. */
export type TrackerName = keyof typeof registry

/** Every built-in tracker by its name. */
export const trackerRegistry: Readonly<Record<TrackerName, TrackerEntry>> = registry
