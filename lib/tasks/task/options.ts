/** Options that several tasks share. */

import { z } from 'zod'
import { flag } from '../../base/fields.ts'
import { choice } from '../../base/validate.ts'

/**
 * The rule sets of the rewards. `paper` scores as the published code does: writing tasks find transition words inside other words,
 * code tasks read programs as text. `strict` looks for whole words and reads syntax trees. Thresholds and points are the same.
 */
const ruleSets = ['strict', 'paper'] as const

/** One of `ruleSets`. */
export type Rules = (typeof ruleSets)[number]

/** The option of the rule set. */
export const ruleOption = {
  /** Which rule set scores: `paper` as the published reward does, `strict` without its oddities. Defaults to `strict`. */
  rules: choice(ruleSets).default('strict'),
}

/** The option of the form of prompts. */
export const chatOption = {
  /**
   * Whether prompts are user messages that go through the model's chat template (instruct models), or plain text as in the paper's
   * experiments. Defaults to `false`.
   */
  chat: flag().default(false),
}

/** The option of the number of agents. */
export const agentsOption = {
  /** `2` is the team, `1` a single model that writes everything. Defaults to `2`. */
  agents: z.union([z.literal(1), z.literal(2)]).default(2),
}
