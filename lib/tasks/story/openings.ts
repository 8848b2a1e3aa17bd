/** A small grammar of story openings for children, in the vocabulary of the TinyStories models. */

const girls = ['Lily', 'Mia', 'Sue', 'Anna', 'Lucy', 'Sara', 'Amy', 'Mary', 'Emma', 'Jane']
const boys = ['Tom', 'Tim', 'Ben', 'Max', 'Sam', 'Jack', 'Bob', 'John', 'Leo', 'Billy']

const places = [
  'the park',
  'the beach',
  'the farm',
  'the forest',
  'the zoo',
  'the garden',
  'the store',
  'the lake',
  'the library',
  'the big hill',
]

interface Hero {
  name: string
  kind: 'girl' | 'boy'
  They: 'She' | 'He'
  their: 'her' | 'his'
}

const heroes: Hero[] = [
  ...girls.map((name): Hero => ({ name, kind: 'girl', They: 'She', their: 'her' })),
  ...boys.map((name): Hero => ({ name, kind: 'boy', They: 'He', their: 'his' })),
]

const beginnings: ((hero: Hero, place: string) => string)[] = [
  ({ name, kind, They }, place) =>
    `Once upon a time, there was a little ${kind} named ${name}. ${They} loved to go to ${place}.`,
  ({ name, kind, their }, place) => `One day, a happy ${kind} named ${name} went to ${place} with ${their} mom.`,
  ({ name, They, their }, place) => `${name} had a new toy. ${They} took it to ${place} to show ${their} friends.`,
  ({ name, They }, place) => `It was a sunny day. ${name} walked to ${place}. ${They} saw something big and red.`,
  ({ name, kind, They }, place) =>
    `Once there was a ${kind} called ${name} who was very sad. ${They} had lost a ball at ${place}.`,
]

/** Number of different openings: names x places x beginnings. */
export const storyOpeningCount = heroes.length * places.length * beginnings.length

/** Coprime to the number of openings (1,000), so that its multiples visit each of them once, in a mixed order. */
const stride = 387

/**
 * Opening number `index` of a fixed, well mixed order.
 *
 * @param index 0 to `storyOpeningCount` - 1; different numbers give different openings
 * @throws RangeError if `index` is not such a number
 */
export function storyOpening(index: number): string {
  if (!(Number.isInteger(index) && index >= 0 && index < storyOpeningCount))
    throw new RangeError(`Expected an opening number from 0 to ${storyOpeningCount - 1} but received ${index}.`)
  let rest = (index * stride) % storyOpeningCount
  const take = <T>(choices: readonly T[]): T => {
    const choice = choices[rest % choices.length] as T
    rest = Math.floor(rest / choices.length)
    return choice
  }
  const beginning = take(beginnings)
  return beginning(take(heroes), take(places))
}
