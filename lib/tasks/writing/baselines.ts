/**
 * What the baseline prompts of the writing tasks share. What is asked follows the published baselines (targets included), the wording
 * is this project's own.
 */

import { splitWords } from './words.ts'

/** The line that the single model is asked to put between its two paragraphs. */
export const paragraphDelimiter = '[SECOND PARAGRAPH]'

/** Fewest words the second agent of a pipeline is asked for, however short the first one's text is. */
const leastWords = 80

/** `times` the words of a text, at least {@link leastWords}, rounded up. */
export const wordTarget = (text: string, times: number) =>
  Math.max(Math.ceil(times * splitWords(text).length), leastWords)
