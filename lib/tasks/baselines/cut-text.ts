/** Taking one text apart into two. */

/**
 * The texts before and after a delimiter, trimmed; null unless there is text on both sides of its first occurrence. Further
 * occurrences are left out of the second text.
 */
export function splitAtDelimiter(text: string, delimiter: string): [string, string] | null {
  const at = text.indexOf(delimiter)
  if (at < 0) return null
  const first = text.slice(0, at).trim()
  const second = text
    .slice(at + delimiter.length)
    .replaceAll(delimiter, ' ')
    .trim()
  return first === '' || second === '' ? null : [first, second]
}

/**
 * Cuts a text in two so that the second part has about `ratio` times the characters of the first; the cut is at the white space
 * nearest to the exact place, where there is any.
 *
 * @param ratio above 0
 */
export function cutByRatio(text: string, ratio: number): [string, string] {
  const whole = [...text.trim()]
  const exact = Math.round(whole.length / (1 + ratio))
  const distance = (place: number) => Math.abs(place - exact)
  let best: number | undefined
  for (const [place, character] of whole.entries())
    if (/\s/u.test(character) && (best === undefined || distance(place) < distance(best))) best = place
  const at = best ?? exact
  return [whole.slice(0, at).join('').trim(), whole.slice(at).join('').trim()]
}
