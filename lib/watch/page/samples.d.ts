/** Types of `samples.js`, for Node. */
import type { SampleRow } from '../../rl/types/reports.ts'
import type { Tree } from './chart.js'

export declare function sampleTree(row: SampleRow): Tree
export declare function groupLabel(group: { step: number; phase: string }): string
