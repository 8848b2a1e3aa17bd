/** Which categories of transition words a text uses: by plain substrings as published, or by whole words. */

import type { TransitionCategory } from './transition-words.ts'
import { transitionWords } from './transition-words.ts'
import { lowerCase } from './words.ts'

const categories = Object.entries(transitionWords) as [TransitionCategory, readonly string[]][]

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** One expression a category: any of its phrases, not inside a longer word, with any white space between its words. */
const wholeWords = new Map(
  categories.map(([category, phrases]) => {
    const choices = phrases.map((phrase) => phrase.split(' ').map(escaped).join('\\s+')).join('|')
    return [category, new RegExp(`(?<![\\p{L}\\p{N}_])(?:${choices})(?![\\p{L}\\p{N}_])`, 'u')]
  }),
)

/**
 * The categories of which any phrase occurs anywhere in the lower-cased text, also inside other words, as the published
 * code counts: "reason" holds "so" (spec pitfall 27).
 */
export function transitionsBySubstring(text: string): TransitionCategory[] {
  const lower = lowerCase(text)
  return categories.filter(([, phrases]) => phrases.some((phrase) => lower.includes(phrase))).map(([name]) => name)
}

/** The categories of which any phrase occurs in the text as whole words, whatever white space separates them. */
export function transitionsByWord(text: string): TransitionCategory[] {
  const lower = lowerCase(text)
  return categories.filter(([category]) => wholeWords.get(category)?.test(lower)).map(([name]) => name)
}
