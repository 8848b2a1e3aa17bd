/**
 * Text measures with the meaning Python's `str` and `re` give them, so that rewards agree with the published Python
 * code to the last bit. They differ from JavaScript's own: `\s` here knows U+FEFF but not U+001C to U+001F or U+0085,
 * `\w` is ASCII only, and `length` counts UTF-16 units.
 */

import { stopWords } from './transition-words.ts'

/** What Python's `str.split()` splits at: `str.isspace()`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts these control characters as white space
const pythonSpace = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u

/** Runs of Python's `\w`: letters, everything with a numeric value, and the underscore (but no combining marks). */
const wordRuns = /[\p{L}\p{N}_]+/gu

/** The words of a text as Python's `text.split()` gives them: runs of anything but white space. */
export function splitWords(text: string): string[] {
  return text.split(pythonSpace).filter((word) => word !== '')
}

/** Number of code points, as Python's `len(text)`. */
export function countCharacters(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

/** Lower case as Python's `text.lower()`: full Unicode mapping, locale independent, final sigma by context. */
export function lowerCase(text: string): string {
  return text.toLowerCase()
}

/** The distinct words of a text: runs of `\w` in the lower-cased text, as `set(re.findall(r'\w+', text.lower()))`. */
export function uniqueWords(text: string): Set<string> {
  return new Set(lowerCase(text).match(wordRuns) ?? [])
}

/**
 * Jaccard index of the vocabularies of two texts, stop words left out: shared distinct words over all distinct words,
 * in 0..1. Two texts without any such word count as equal (1).
 */
export function jaccardIndex(first: string, second: string): number {
  const a = contentWords(first)
  const b = contentWords(second)
  if (a.size === 0 && b.size === 0) return 1
  let shared = 0
  for (const word of a) if (b.has(word)) shared++
  return shared / (a.size + b.size - shared)
}

function contentWords(text: string): Set<string> {
  const words = uniqueWords(text)
  for (const word of stopWords) words.delete(word)
  return words
}
