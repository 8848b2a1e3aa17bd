/** What the registry knows of a built-in tracker. */
import type { z } from 'zod'
import { section } from '../base/validate.ts'
import type { Tracker } from './tracker.ts'

/** One built-in tracker. */
export interface TrackerEntry {
  /** What it does, for the reference. */
  about: string
  /** Schema of the options, with their defaults and what they mean. */
  options: z.ZodObject
  /** Makes the tracker. */
  create(options: Record<string, unknown>): Tracker | Promise<Tracker>
}

/** What a tracker gives to {@link trackerEntry}. */
interface TrackerEntryParts<Shape extends z.ZodRawShape> {
  about: string
  options: Shape
  create(options: z.output<z.ZodObject<Shape>>): Tracker | Promise<Tracker>
}

/** Makes the entry of a tracker. */
export function trackerEntry<Shape extends z.ZodRawShape>(parts: TrackerEntryParts<Shape>): TrackerEntry {
  return {
    ...parts,
    options: section(parts.options),
    create: (options) => parts.create(options as z.output<z.ZodObject<Shape>>),
  }
}
