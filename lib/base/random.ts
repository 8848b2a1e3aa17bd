/** Orders of items and seeds of starts as pure functions of counters. Samples have their own streams, in the core. */

/**
 * A permutation of 0..count-1 (Fisher and Yates), the same for equal arguments on any machine.
 *
 * @param seed integer from 0 to 2³²-1
 * @param epoch counted from 0
 */
export function permutation(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(uniform(seed, epoch, last) * (last + 1))
    const kept = order[last]!
    order[last] = order[other]!
    order[other] = kept
  }
  return order
}

/** A number in [0, 1) that is a function of three 32-bit integers. */
export function uniform(a: number, b: number, c: number): number {
  const mixed = mix(mix(mix(0x2545f491 ^ a) ^ b) ^ c)
  return mixed / 2 ** 32
}

/** What is started from a seed. */
const roles = { agent: 1, critic: 2, valueHead: 3, sampling: 4 } as const

/**
 * The seed of one start: a function of the run's seed, what is started, and its number, so that neighbouring seeds, agents and roles
 * have nothing in common. Of equal seeds and roles, different numbers always give different seeds.
 *
 * @param seed integer from 0 to 2³²-1, as the result is
 * @param index number of the agent, critic or policy, from 0
 */
export function seedOf(seed: number, role: keyof typeof roles, index: number): number {
  return mix(mix(mix(0x6a09e667 ^ roles[role]) ^ seed) ^ index)
}

/** A bijection of 32-bit integers in which every input bit moves about half of the output bits. */
function mix(value: number): number {
  let x = (value + 0x9e3779b9) >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}
