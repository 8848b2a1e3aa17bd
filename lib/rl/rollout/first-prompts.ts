/** Whether every first prompt can be used: asked before anything begins, not at the step that draws it. */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { MagrpoError } from '../../base/errors.ts'
import type { Task } from '../../tasks/task/types.ts'
import type { PromptLengths } from './long-prompts.ts'
import { firstPrompt, withPlace } from './task-calls.ts'

/** Milliseconds after which others get the thread. */
const sliceMs = 10

/** Items that an error or a warning names; of the others it says how many they are. */
const namedItems = 10

/** An item whose first prompts are looked at. */
interface Place {
  /** The list that `item` points into. */
  items: readonly unknown[]
  item: number
  isHeldOut: boolean
}

/** An item of which a prompt leaves too little of the context: the prompt that leaves least. */
export interface ShortItem extends Place {
  /** Name of its agent. */
  agent: string
  tokens: number
  contextLength: number
  /** Tokens it leaves, less than `sampling.maxNewTokens`; 0 or less for none. */
  left: number
}

/** What the first prompts of items leave of the context. */
export interface PromptSurvey {
  /** Items that were looked at. */
  items: number
  /** Those that leave nothing. */
  tooLong: ShortItem[]
  /** Those that leave something, but less than `sampling.maxNewTokens`. */
  tight: ShortItem[]
}

/**
 * Looks at the first prompts of items: of their agents' prompts the one that leaves least of its context.
 *
 * @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_TASK`, naming agent and item; `ERR_PROMPT_TOO_LONG` naming those that are too long, if
 *   these are refused, none are left or one cannot be cut; the signal's reason
 */
export async function surveyFirstPrompts(
  task: Task,
  places: readonly Place[],
  lengths: PromptLengths,
  signal?: AbortSignal,
): Promise<PromptSurvey> {
  const survey: PromptSurvey = { items: places.length, tooLong: [], tight: [] }
  let sliceEnd = performance.now() + sliceMs
  for (const place of places) {
    const short = shortestOf(task, place, lengths)
    if (short !== null) survey[short.left > 0 ? 'tight' : 'tooLong'].push(short)
    if (performance.now() < sliceEnd) continue
    await turnOfTheLoop()
    signal?.throwIfAborted()
    sliceEnd = performance.now() + sliceMs
  }
  if (lengths.mode === 'refuse' && survey.tooLong.length > 0) throw tooLongError(task, survey, false)
  for (const list of lengths.mode === 'skip' ? new Set(places.map(({ items }) => items)) : []) {
    const tooLong = survey.tooLong.filter(({ items }) => items === list)
    const items = places.filter((place) => place.items === list).length
    if (tooLong.length === items) throw tooLongError(task, { items, tooLong }, true)
  }
  return survey
}

/** What the prompt of an item leaves that leaves least; null if all leave enough. In `cut` mode each is cut, to see whether it can be. */
function shortestOf(task: Task, place: Place, lengths: PromptLengths): ShortItem | null {
  let shortest: ShortItem | null = null
  for (const [agent, name] of task.agents.entries()) {
    const prompt = firstPrompt(task, place.items, place.item, agent)
    try {
      const short = lengths.shortOf(agent, prompt)
      if (short === null) continue
      if (lengths.mode === 'cut') lengths.played(agent, prompt)
      if (shortest === null || short.left < shortest.left) shortest = { ...place, ...short, agent: name }
    } catch (error) {
      if (!(error instanceof MagrpoError)) throw error
      throw withPlace(error, { task: task.name, agent: name, item: place.item, turn: 0, isHeldOut: place.isHeldOut })
    }
  }
  return shortest
}

function tooLongError(task: Task, { tooLong, items }: Omit<PromptSurvey, 'tight'>, allSkipped: boolean): MagrpoError {
  const { item, agent, tokens, contextLength } = tooLong[0]!
  const remedy = allSkipped
    ? "so that longPrompts 'skip' leaves none. Shorten them, or use a model with a longer context."
    : "Shorten them, use a model with a longer context, or set longPrompts to 'skip' or 'cut'."
  return new MagrpoError(
    'ERR_PROMPT_TOO_LONG',
    `Expected first prompts of task '${task.name}' that leave room in their model's context of ${contextLength} tokens, but ` +
      `${tooLong.length} of ${items} ${items === 1 ? 'item does' : 'items do'} not: ${namesOf(tooLong)}. ${remedy}`,
    { details: { task: task.name, item, agent, tokens, contextLength, count: tooLong.length } },
  )
}

/** The first ten items with their longest prompt, and how many there are besides. */
export function namesOf(items: readonly ShortItem[]): string {
  const named = items.slice(0, namedItems).map(({ item, isHeldOut, agent, tokens }) => {
    return `${isHeldOut ? 'held-out ' : ''}item ${item} (${tokens} tokens for agent '${agent}')`
  })
  const others = items.length - named.length
  return named.join(', ') + (others > 0 ? `, and ${others} more` : '')
}
