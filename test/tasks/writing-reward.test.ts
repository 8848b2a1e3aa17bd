import test from 'ava'
import type { Joint } from '../../lib/tasks/task/completion.ts'
import type { WritingParts } from '../../lib/tasks/writing/reward.ts'
import {
  arxivThresholds,
  scoreWriting,
  textPair,
  tldrThresholds,
  writingMetrics,
} from '../../lib/tasks/writing/reward.ts'
import { stopWords, transitionWords } from '../../lib/tasks/writing/transition-words.ts'
import { skipBecause } from '../support/skip.ts'
import { randomNumbers, runReference } from './writing-python.ts'

type TaskName = 'tldr' | 'arxiv' | 'arxiv-current'
interface Pair {
  task: TaskName
  first: string
  second: string
}

const thresholds = {
  tldr: tldrThresholds,
  arxiv: arxivThresholds['paper-time'],
  'arxiv-current': arxivThresholds.current,
}

const asList = (parts: WritingParts) => [
  parts.structure,
  parts.length_ratio,
  parts.unique_ratio,
  parts.consistency,
  parts.coherence,
]

/**
 * A text with exactly `words` words, `unique` distinct ones of them (one may be longer to reach `characters`), without
 * any transition word. Distinct words are made of letters q, x, z with a common head.
 */
function makeText(words: number, unique: number, characters: number, head: string): string {
  const list = Array.from({ length: words }, (_, i) => head + digits(Math.min(i, unique - 1)))
  const missing = characters - list.join(' ').length
  if (missing < 0) throw new Error(`${words} words do not fit ${characters} characters`)
  list[0] += 'q'.repeat(missing)
  return list.join(' ')
}

const digits = (i: number) => [...i.toString(3)].map((d) => 'qxz'[Number(d)]).join('')

/** Scores texts without transition words and with nothing in common, except the first word if `shared`. */
function points(unique: [number, number], characters: [number, number], words: [number, number] = [20, 100]) {
  return scoreWriting(
    makeText(words[0], unique[0], characters[0], 'a'),
    makeText(words[1], unique[1], characters[1], 'e'),
    tldrThresholds,
    'paper',
  )
}

test('TLDR: words of both texts at every edge', (t) => {
  const structure = (a: number, b: number) => points([5, 10], [2000, 4000], [a, b]).parts.structure
  t.is(structure(8, 8), 0.5)
  t.is(structure(256, 256), 0.5)
  t.is(structure(7, 100), 0)
  t.is(structure(100, 7), 0)
  t.is(structure(257, 100), 0)
  t.is(structure(100, 257), 0)
  t.is(scoreWriting('', '', tldrThresholds).total, 0)
})

test('TLDR: length ratio at every edge, the zeros of the ramps included', (t) => {
  const at = (x: number) => points([10, 20], [1000, Math.round(1000 * x)])
  t.deepEqual(at(1.099).parts, { structure: 0.5, length_ratio: 0, unique_ratio: 0, consistency: 0, coherence: 0 })
  t.deepEqual(at(1.1).parts, { structure: 0.5, length_ratio: 0, unique_ratio: 0.5, consistency: 0, coherence: 0 })
  t.is(at(1.1).total, 1)
  t.true(Math.abs(at(1.35).parts.length_ratio - 0.5) < 1e-12)
  for (const x of [1.6, 2.4, 3.2]) t.is(at(x).parts.length_ratio, 1)
  t.true(Math.abs(at(4.1).parts.length_ratio - 0.5) < 1e-12)
  t.is(at(5).parts.length_ratio, 0)
  t.is(at(5).parts.unique_ratio, 0.5)
  t.is(at(5.001).parts.unique_ratio, 0)
})

test('TLDR: ratio of distinct words at every edge', (t) => {
  const at = (a: number, b: number) => points([a, b], [1000, 2000])
  t.is(at(10, 13).parts.unique_ratio, 0)
  t.is(at(10, 12).total, 1.5)
  t.true(Math.abs(at(20, 33).parts.unique_ratio - 0.25) < 1e-12)
  t.is(at(10, 20).parts.unique_ratio, 0.5)
  t.is(at(10, 90).parts.unique_ratio, 0.5)
  const gatePassed = scoreWriting(makeText(20, 10, 1000, 'a'), makeText(100, 13, 2000, 'a'), tldrThresholds, 'paper')
  t.true(gatePassed.parts.consistency > 0, 'y = 1.3 exactly scores 0 but goes on to the next level')
  const noWords = scoreWriting('. , ! ? . , ! ? .', 'one two three four five six seven eight', tldrThresholds, 'paper')
  t.is(noWords.total, 0.5 + noWords.parts.length_ratio)
  t.is(noWords.parts.unique_ratio, 0)
})

test('TLDR: consistency is capped at a Jaccard index of 0.03', (t) => {
  const first = makeText(20, 10, 1000, 'a')
  const withShared = (shared: number, own: number) => {
    const words = [...Array.from({ length: shared }, (_, i) => `a${digits(i + 1)}`)]
    for (let i = 0; i < own; i++) words.push(`e${digits(i)}`)
    const text = words.join(' ')
    return scoreWriting(first, `${text} e${'q'.repeat(2000 - text.length - 2)}`, tldrThresholds, 'paper').parts
      .consistency
  }
  t.is(withShared(0, 40), 0)
  t.true(Math.abs(withShared(1, 90) - 0.6 * (1 / 101 / 0.03)) < 1e-12)
  t.is(withShared(5, 40), 0.6)
})

test('TLDR: coherence for 0, 1, 2 and 12 categories, in the second text only', (t) => {
  const first = `${makeText(20, 10, 1000, 'a')} so`
  const scores = [[], ['ergo'], ['ergo', 'namely']].map(
    (words) =>
      scoreWriting(first, [makeText(100, 40, 2000, 'e'), ...words].join(' '), tldrThresholds, 'paper').parts.coherence,
  )
  t.deepEqual(scores, [0, 0.4 * 0.4, 0.4 * 0.45])
  const all = Object.values(transitionWords).map((phrases) => phrases[0])
  const full = scoreWriting(
    makeText(20, 10, 1000, 'a'),
    [makeText(100, 40, 2000, 'a'), ...all].join(' '),
    tldrThresholds,
    'paper',
  )
  t.true(Math.abs(full.parts.coherence - 0.38) < 1e-12)
  t.true(Math.abs(full.total - 2.98) < 1e-12, 'the reachable maximum')
})

test('strict rules count whole words only', (t) => {
  const first = 'My reason was a different shadow near some old house'
  const second = `${first} and another remarkable beastly personality whose eyebrows looked gray under moonlight yesterday`
  t.true(scoreWriting(first, second, tldrThresholds, 'paper').parts.coherence > 0)
  t.is(scoreWriting(first, second, tldrThresholds, 'strict').parts.coherence, 0)
  t.is(scoreWriting(first, second, tldrThresholds).parts.coherence, 0, 'strict is the default')
  t.is(scoreWriting(first, `${second}. So what?`, tldrThresholds, 'strict').parts.coherence, 0.4 * 0.4)
})

test('arXiv: the seam of both texts makes words in published rules, not in strict ones', (t) => {
  const first = `${makeText(130, 100, 1000, 'a')} s`
  const second = `o ${makeText(130, 100, 1100, 'e')}`
  t.is(scoreWriting(first, second, arxivThresholds['paper-time'], 'paper').parts.coherence, 0.4 * 0.4)
  t.is(scoreWriting(first, second, arxivThresholds['paper-time'], 'strict').parts.coherence, 0)
})

test('arXiv: published thresholds differ by date', (t) => {
  const score = (column: 'paper-time' | 'current', x: number) =>
    scoreWriting(makeText(130, 100, 1000, 'a'), makeText(130, 100, 1000 * x, 'e'), arxivThresholds[column], 'paper')
      .parts.length_ratio
  t.is(score('paper-time', 1.2), 1)
  t.true(Math.abs(score('current', 1.2) - 0.8) < 1e-12)
  t.is(score('current', 1.5), 1)
  t.is(score('paper-time', 1.5), 0)
})

/** Random texts around all thresholds, with transition phrases, stop words and odd characters. */
function randomPair(seed: number): Pair {
  const random = randomNumbers(seed)
  for (let i = 0; i < 4; i++) random()
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const phrases = Object.values(transitionWords).flat()
  const spaces = [' ', ' ', ' ', ' ', '\n', '  ', '\u00a0', '\x1d']
  const task = pick<TaskName>(['tldr', 'tldr', 'arxiv', 'arxiv-current'])
  const common = pick([0, 3, 40, 400])
  const text = (size: number, vocabulary: number, name: string) => {
    let result = ''
    for (let i = 0; i < size; i++) {
      const kind = random()
      const own = `${name}${Math.floor(random() * vocabulary)}`
      const word =
        kind < 0.05
          ? pick(phrases)
          : kind < 0.2
            ? pick([...stopWords])
            : kind < 0.25
              ? pick(['ΣΑΣ', 'İx', '½', 'é', '😀', 'naïve'])
              : own
      result +=
        (random() < 0.1
          ? word.toUpperCase()
          : kind > 0.6 && random() * 400 < common
            ? `c${Math.floor(random() * 40)}`
            : word) + pick(spaces)
    }
    return result
  }
  const base = task === 'tldr' ? 4 + Math.floor(random() * 110) : 110 + Math.floor(random() * 100)
  const ratio = task === 'tldr' ? 0.9 + random() * 4.5 : 0.7 + random() * 1.4
  const vocabulary = pick([5, 20, 60, 200])
  const spread = task === 'tldr' ? 1 + random() * 3 : 0.4 + random() * 1.4
  return { task, first: text(base, vocabulary, 'f'), second: text(base * ratio, vocabulary * spread, 's') }
}

test('paper rules equal the reference in Python on random texts', (t) => {
  const pairs = Array.from({ length: 4000 }, (_, i) => randomPair(i))
  const reference = runReference<{ total: number; parts: number[] }[]>('writing_reference.py', {
    transitions: transitionWords,
    stop_words: [...stopWords],
    pairs,
  })
  if (!reference) {
    return skipBecause(t, 'no python3')
  }
  const reached = { structure: 0, length: 0, unique: 0 }
  let largest = 0
  pairs.forEach((pair, i) => {
    const { total, parts } = scoreWriting(pair.first, pair.second, thresholds[pair.task], 'paper')
    const expected = reference[i] as { total: number; parts: number[] }
    largest = Math.max(largest, Math.abs(total - expected.total))
    asList(parts).forEach((part, level) => {
      largest = Math.max(largest, Math.abs(part - (expected.parts[level] as number)))
    })
    if (parts.structure > 0) reached.structure++
    if (parts.length_ratio > 0) reached.length++
    if (parts.unique_ratio > 0) reached.unique++
  })
  t.log(`levels reached by ${pairs.length} pairs: ${JSON.stringify(reached)}; largest difference ${largest}`)
  t.true(largest < 1e-12)
  t.true(reached.structure > reached.length && reached.length > reached.unique && reached.unique > 500)
})

test('parts sum to the total', (t) => {
  for (let i = 0; i < 500; i++) {
    const { task, first, second } = randomPair(i + 10_000)
    for (const rules of ['paper', 'strict'] as const) {
      const { total, parts } = scoreWriting(first, second, thresholds[task], rules)
      t.true(Math.abs(asList(parts).reduce((sum, part) => sum + part, 0) - total) < 1e-12)
      t.true(total >= 0 && total <= 2.98 + 1e-12)
    }
  }
})

test('metrics are finite for empty texts', (t) => {
  for (const value of Object.values(writingMetrics('', '', tldrThresholds, 'strict'))) t.true(Number.isFinite(value))
  const metrics = writingMetrics('one two', 'one so three four', tldrThresholds, 'strict')
  t.like(metrics, {
    words_1: 2,
    words_2: 4,
    characters_1: 7,
    characters_2: 17,
    unique_words_2: 4,
    transition_categories: 1,
  })
  t.is(metrics.unique_words_ratio, 2)
})

test('a team of another size is refused', (t) => {
  const error = t.throws(() => textPair([{ text: 'a' }] as Joint, 'tldr'), { code: 'ERR_TASK' } as never)
  t.regex(error.message, /expected 2 completions .* received 1/)
})
