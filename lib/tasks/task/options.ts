/** Options that several tasks share, and how a task reads its own. */
import { z } from 'zod'
import { ConfigError } from '../../base/errors.ts'
import { choice, validate } from '../../base/validate.ts'

/** Options as a caller gives them: those with a default may be left out. */
export type OptionsOf<Shape extends z.ZodRawShape> = z.input<z.ZodObject<Shape>>

/**
 * The rule sets of the rewards. `paper` scores as the published code does: writing tasks find transition words inside other words,
 * code tasks read programs as text. `strict` looks for whole words and reads syntax trees. Thresholds and points are the same.
 */
export const ruleSets = ['strict', 'paper'] as const

/** One of `ruleSets`. */
export type Rules = (typeof ruleSets)[number]

/** The option of the rule set. */
export const rules = choice(ruleSets)
  .default('strict')
  .describe('Which rule set scores: `paper` as the published reward does, `strict` without its oddities.')

/** The option of the form of prompts. */
export const chat = z
  .boolean()
  .default(false)
  .describe(
    "Whether prompts are user messages that go through the model's chat template (instruct models), or plain text as in the paper's experiments.",
  )

/** The option of the number of agents. */
export const agents = z
  .union([z.literal(1), z.literal(2)])
  .default(2)
  .describe('`2` is the team, `1` a single model that writes everything.')

/**
 * Options, checked and with their defaults. Keys that the shape does not have are left out.
 *
 * @param owner whose they are, for messages
 * @throws ConfigError listing everything that is wrong
 */
export function readOptions<Shape extends z.ZodRawShape>(
  owner: string,
  shape: Shape,
  options: object,
): z.output<z.ZodObject<Shape>> {
  const { value, issues } = validate(z.object(shape), options)
  if (issues) throw new ConfigError(issues, owner)
  return value as z.output<z.ZodObject<Shape>>
}
