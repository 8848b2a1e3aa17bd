import test from 'ava'
import { stopWords, transitionWords } from '../../lib/tasks/writing/transition-words.ts'
import { transitionsBySubstring, transitionsByWord } from '../../lib/tasks/writing/transitions.ts'
import { countCharacters, jaccardIndex, lowerCase, splitWords, uniqueWords } from '../../lib/tasks/writing/words.ts'
import { skipBecause } from '../support/skip.ts'
import { randomNumbers, runReference } from './writing-python.ts'

interface UnicodeReference {
  unicode: string
  space: number[]
  word: number[]
  lower: Record<string, string>
  assigned: [number, number][]
  texts: { lower: string; words: string[]; unique: string[]; length: number }[]
}

/** Letters and signs for which Python and JavaScript could disagree: sigmas, dotted I, odd spaces, marks, emoji. */
const oddities = [..."aZ_9 Σσςİıß\u0301\u0307\u00ad.\u2019'-:\t\n\r\x1c\x1f\x85\xa0\u2003\u3000\ufeff½²Ⅷ一ǅ𝔘😀é"]

const randomTexts = Array.from({ length: 3000 }, (_, i) => {
  const random = randomNumbers(i)
  random()
  return Array.from({ length: Math.floor(random() * 24) }, () => oddities[Math.floor(random() * oddities.length)]).join(
    '',
  )
})

test('white space, word characters and lower case are those of Python, over all code points', (t) => {
  const reference = runReference<UnicodeReference>('unicode_reference.py', randomTexts)
  if (!reference) {
    return skipBecause(t, 'no python3')
  }
  t.log(`Unicode: Python ${reference.unicode}, Node ${process.versions.unicode}`)
  const spaces = new Set(reference.space)
  const words = new Set(reference.word)
  const wrong: string[] = []
  for (const [first, last] of reference.assigned)
    for (let code = first; code <= last; code++) {
      const char = String.fromCodePoint(code)
      const name = `U+${code.toString(16)}`
      if ((splitWords(`a${char}b`).length === 2) !== spaces.has(code)) wrong.push(`${name} space`)
      if (uniqueWords(char).size > 0 !== words.has(code)) wrong.push(`${name} word`)
      if (lowerCase(char) !== (reference.lower[code] ?? char)) wrong.push(`${name} lower`)
    }
  t.deepEqual(wrong, [])
  t.true(reference.word.length > 100_000)

  randomTexts.forEach((text, i) => {
    const measured = {
      lower: lowerCase(text),
      words: splitWords(text),
      unique: [...uniqueWords(text)].sort(byCodePoint),
      length: countCharacters(text),
    }
    t.deepEqual(measured, reference.texts[i] as UnicodeReference['texts'][number])
  })
})

/** The order of Python's `sorted`; JavaScript's own compares UTF-16 units. */
function byCodePoint(a: string, b: string): number {
  const [x, y] = [[...a], [...b]]
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = Number(x[i]?.codePointAt(0)) - Number(y[i]?.codePointAt(0))
    if (difference !== 0) return difference
  }
  return x.length - y.length
}

test('words, characters and distinct words', (t) => {
  t.deepEqual(splitWords(' one  two\x1fthree\ufefffour\u2028five '), ['one', 'two', 'three\ufefffour', 'five'])
  t.deepEqual(splitWords(' \n '), [])
  t.is(countCharacters('a😀é'), 3)
  t.deepEqual([...uniqueWords("The cat's the CAT, ½ x_1")], ['the', 'cat', 's', '½', 'x_1'])
})

test('the Jaccard index leaves stop words out and is 1 for nothing against nothing', (t) => {
  t.is(jaccardIndex('The red cat', 'a red dog and cat'), 2 / 3)
  t.is(jaccardIndex('the and of', 'was were'), 1)
  t.is(jaccardIndex('the', 'cat'), 0)
})

test('the word lists have the published sizes', (t) => {
  const sizes = Object.fromEntries(Object.entries(transitionWords).map(([name, list]) => [name, list.length]))
  t.deepEqual(sizes, {
    elaboration: 21,
    examples: 22,
    explanation: 22,
    causeEffect: 26,
    contrast: 29,
    sequence: 33,
    emphasis: 24,
    summary: 21,
    comparison: 17,
    concession: 19,
    condition: 19,
    time: 26,
  })
  t.is(new Set(Object.values(transitionWords).flat()).size, 230)
  t.is(stopWords.size, 106)
  for (const phrase of [...Object.values(transitionWords).flat(), ...stopWords]) t.regex(phrase, /^[a-z]+( [a-z]+)*$/)
})

test('published rules find transition words inside other words, strict ones do not', (t) => {
  t.deepEqual(transitionsBySubstring('The reason'), ['causeEffect', 'time'])
  t.deepEqual(transitionsByWord('The reason, a gift and a different scene'), [])
  t.deepEqual(transitionsByWord('SO it was.'), ['causeEffect'])
  t.deepEqual(transitionsByWord('It failed, as a\n  result'), ['causeEffect', 'time'])
  t.deepEqual(transitionsBySubstring('in\nfact'), [])
  t.deepEqual(transitionsByWord('in\nfact'), ['explanation', 'emphasis'])
  t.deepEqual(transitionsByWord('_so_ só soé'), [])
})

test('every phrase is found in its category by both ways', (t) => {
  for (const [category, phrases] of Object.entries(transitionWords))
    for (const phrase of phrases) {
      t.true(transitionsBySubstring(`x${phrase}x`).includes(category as never), phrase)
      t.true(transitionsByWord(`(${phrase.toUpperCase()})`).includes(category as never), phrase)
      t.false(transitionsByWord(`x${phrase.replaceAll(' ', '')}x`).includes(category as never), phrase)
    }
})
