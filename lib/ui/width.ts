import { stripVTControlCharacters } from 'node:util'

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const zeroWidth = /^[\p{Control}\p{Format}\p{Mark}\p{Surrogate}]+$/u
const emoji = /\p{Emoji_Presentation}|\p{Emoji}\uFE0F/u

/** Ranges of Unicode's East Asian Width property W and F, the large ones: scripts, full-width forms and planes 2 and 3. */
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1b000, 0x1b2ff],
  [0x20000, 0x3fffd],
]

function graphemeWidth(grapheme: string): number {
  if (zeroWidth.test(grapheme)) return 0
  const code = grapheme.codePointAt(0)!
  if (code < 0x1100) return 1
  if (emoji.test(grapheme)) return 2
  return wideRanges.some(([first, last]) => code >= first && code <= last) ? 2 : 1
}

/** Columns a text takes on a terminal: colour codes and combining marks none, East Asian characters and emoji two. */
export function displayWidth(text: string): number {
  let width = 0
  for (const { segment } of segmenter.segment(stripVTControlCharacters(text))) width += graphemeWidth(segment)
  return width
}

/**
 * Cuts a text to at most `columns` columns, with `…` as the last one if anything was cut. Never cuts inside a character.
 * Colour codes are dropped from a text that has to be cut.
 */
export function truncate(text: string, columns: number): string {
  if (columns <= 0) return ''
  if (displayWidth(text) <= columns) return text
  let width = 0
  let kept = ''
  for (const { segment } of segmenter.segment(stripVTControlCharacters(text))) {
    const next = graphemeWidth(segment)
    if (width + next > columns - 1) break
    width += next
    kept += segment
  }
  return `${kept}…`
}

/** Fills a text with spaces to `columns` columns; a wider one stays as it is. */
export function pad(text: string, columns: number, side: 'left' | 'right' = 'right'): string {
  const spaces = ' '.repeat(Math.max(0, columns - displayWidth(text)))
  return side === 'right' ? text + spaces : spaces + text
}

/**
 * Breaks a text into lines of at most `columns` columns and at most `maxLines` lines, at spaces where there are any.
 * Line breaks of the text are kept, tabs become two spaces, other control characters are dropped (a model may write
 * anything, and none of it may steer the terminal).
 */
export function wrap(text: string, columns: number, maxLines = Number.POSITIVE_INFINITY): string[] {
  const lines: string[] = []
  for (const paragraph of plain(text).split('\n')) lines.push(...wrapParagraph(paragraph, columns))
  if (lines.length <= maxLines) return lines
  const kept = lines.slice(0, maxLines)
  kept[maxLines - 1] = truncate(`${kept[maxLines - 1]!.trimEnd()} …`, columns)
  return kept
}

/**
 * Text without the control characters that steer a terminal; line breaks stay, tabs become two spaces. What an escape
 * sequence is made of besides stays readable: it was written, so it is shown.
 */
export function plain(text: string): string {
  return text.replaceAll('\t', '  ').replace(/[^\P{Control}\n]/gu, '')
}

function wrapParagraph(paragraph: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  let width = 0
  const flush = () => {
    lines.push(line.trimEnd())
    line = ''
    width = 0
  }
  for (const word of paragraph.split(/(?<= )(?! )/)) {
    const wordWidth = displayWidth(word.trimEnd())
    if (width > 0 && width + wordWidth > columns) flush()
    if (wordWidth <= columns) {
      line += word
      width += displayWidth(word)
      continue
    }
    for (const { segment } of segmenter.segment(word)) {
      const next = graphemeWidth(segment)
      if (width > 0 && width + next > columns) flush()
      line += segment
      width += next
    }
  }
  flush()
  return lines
}
