/**
 * The known word that is nearest to a mistyped one by edit distance (insertions, deletions, replacements and swaps of
 * neighbours), letter case and separators ignored, or the one whose initials it gives (`lr`); undefined if none is near enough to be meant.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const bare = (text: string) => text.toLowerCase().replace(/[-_. ]/g, '')
  const elsewhere = (namesElsewhere[bare(word)] ?? []).find((name) => known.includes(name))
  if (elsewhere !== undefined) return elsewhere
  const abbreviated = known.find((candidate) => initials(candidate) === bare(word))
  if (abbreviated !== undefined) return abbreviated
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const distance = editDistance(bare(word), bare(candidate))
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  const longest = Math.max(bare(word).length, best === undefined ? 0 : bare(best).length)
  return bestDistance <= Math.max(1, Math.ceil(longest / 2.5)) ? best : undefined
}

/** What other libraries for the same purpose call a setting, in bare letters, and what it is called here. */
const namesElsewhere: Readonly<Record<string, readonly string[]>> = {
  numgenerations: ['groupSize', 'count', 'samples'],
  numsamples: ['count', 'samples', 'groupSize'],
  numreturnsequences: ['count', 'samples', 'groupSize'],
  n: ['count', 'samples', 'groupSize'],
  g: ['groupSize'],
  beta: ['kl', 'coefficient'],
  klcoef: ['kl', 'coefficient'],
  epsilon: ['clip'],
  cliprange: ['clip'],
  gamma: ['discount'],
  maxtokens: ['maxNewTokens'],
  maxcompletionlength: ['maxNewTokens'],
  maxsteps: ['steps'],
  numtrainepochs: ['epochs'],
  batchsize: ['promptsPerStep'],
  outputdir: ['runDir'],
  r: ['rank'],
  targetmodules: ['targets'],
  loraalpha: ['alpha'],
}

/** `learningRate` is also known as `lr`; one letter alone means nothing. */
function initials(camelCase: string): string | undefined {
  const letters = camelCase.replace(/[^A-Z]/g, '')
  return letters === '' ? undefined : (camelCase.charAt(0) + letters).toLowerCase()
}

/** Fewest single-character edits (optimal string alignment) that turn one text into the other. */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1]
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return last[to.length]!
}

/** ` Did you mean "x"?` or the list of what is known, to be put behind a message about an unknown word. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known)
  if (near !== undefined) return `did you mean ${JSON.stringify(near)}?`
  return known.length === 0 ? 'nothing is allowed here' : `known: ${known.join(', ')}`
}
