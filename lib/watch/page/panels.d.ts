/** Types of `panels.js`, for Node. */
import type { Series } from '../downsample.ts'
import type { ChartSpec } from './chart.js'

export interface Panel {
  key: string
  title: string
  note?: string
  unit?: 'bytes' | 'share'
  stacked?: boolean
  split?: boolean
  isMain: boolean
  lines: { name: string; label: string; band?: { half: string } | undefined; dash?: number; dots?: boolean }[]
}

export interface PanelRun {
  label: string
  color: number
  series: Record<string, Series | undefined>
}

export declare function panelsOf(names: readonly string[], agents: readonly string[], isSingle?: boolean): Panel[]
export declare function namesOf(panels: readonly Panel[]): string[]
export declare function chartOf(panel: Panel, runs: readonly PanelRun[], smoothing?: number): ChartSpec
export declare function smooth(values: readonly number[], weight: number): number[]
