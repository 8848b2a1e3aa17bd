/** Types of `details.js`, for Node. */
import type { Tree } from './chart.js'

export declare function flatten(value: unknown, prefix?: string): Record<string, string>
export declare function differencesOf(configs: readonly Record<string, unknown>[]): { key: string; values: string[] }[]
export declare function table(head: readonly string[], rows: readonly (readonly (string | Tree)[])[]): Tree
export declare function factsTree(facts: Record<string, unknown>): Tree
export declare function fromTo(ends: readonly [number, number] | undefined): string
