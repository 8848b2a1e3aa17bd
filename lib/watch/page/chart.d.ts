/** Types of `chart.js`, for Node. */
export interface Tree {
  tag: string
  attributes: Record<string, string | number>
  children: (Tree | string)[]
}

export interface Line {
  label: string
  color: number
  dash?: number
  dots?: boolean | undefined
  step: number[]
  value: number[]
  low?: number[]
  high?: number[]
}

export interface ChartSpec {
  title: string
  unit?: 'bytes' | 'share' | undefined
  note?: string | undefined
  stacked?: boolean | undefined
  lines: Line[]
  legend: { label: string; color?: number; dash?: number }[]
}

export declare function element(
  tag: string,
  attributes: Record<string, string | number>,
  ...children: (Tree | string)[]
): Tree
export declare function formatValue(value: number, unit?: 'bytes' | 'share'): string
export declare function ticksOf(from: number, to: number, count: number): number[]
export declare function drawChart(spec: ChartSpec): Tree
export declare function drawLegend(spec: ChartSpec): Tree
export declare function toMarkup(tree: Tree | string): string
export declare function valuesAt(
  spec: ChartSpec,
  step: number,
): { label: string; color: number; step: number; text: string }[]
export declare function nearest(sorted: readonly number[], value: number): number
