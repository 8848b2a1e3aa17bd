/** How tokens are chosen: the settings, their defaults and their bounds. */
import type { z } from 'zod'
import { integer, list, number, text } from '../base/fields.ts'
import { section } from '../base/validate.ts'

/** See {@link Sampling}. */
export const samplingSection = section({
  /** Divides the logits; `0` is greedy. Defaults to `1`. */
  temperature: number({ from: 0 }).default(1),
  /** Keep the k most probable tokens. Defaults to `0`: all. */
  topK: integer({ from: 0 }).default(0),
  /** Keep the smallest set of tokens with this probability. Defaults to `1`: all. */
  topP: number({ above: 0, to: 1 }).default(1),
  /** Drop tokens less probable than this share of the most probable one. Defaults to `0`. */
  minP: number({ from: 0, to: 1 }).default(0),
  /** Divides (positive) or multiplies (negative) the logits of tokens seen before. Defaults to `1`: none. */
  repetitionPenalty: number({ above: 0 }).default(1),
  /** Most new tokens, the end token included. Defaults to `256`. */
  maxNewTokens: integer({ from: 1 }).default(256),
  /** End token ids. Default: those of the model folder (`Model.endIds`). */
  stopIds: list(integer({ from: 0 })).optional(),
  /** Strings that end a completion; the text is cut before them. */
  stop: list(text()).optional(),
})

/** How tokens are chosen. Unset fields take the defaults named here. */
export interface Sampling extends z.input<typeof samplingSection> {}

/** {@link Sampling} with every default filled in. */
export interface ResolvedSampling extends z.output<typeof samplingSection> {}

/** What holds where nothing is said. */
export const samplingDefaults: ResolvedSampling = samplingSection.parse({})
