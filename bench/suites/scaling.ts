/** How rates grow with agents, group size and threads. */

import { alternate } from '../alternate.ts'
import { newTokens } from '../cases.ts'
import type { Session } from '../session.ts'
import { type Spread, significant } from '../statistics.ts'
import { showNumber } from '../table.ts'
import { endAll, type Worker } from '../worker.ts'

/** Generation of one team. */
export interface ScalingRow {
  /** What is varied. */
  series: 'agents' | 'group size' | 'threads'
  model: string
  agents: number
  groupSize: number
  threads: number
  tokensPerSecond: number
  /** Over the first of its series. */
  speedUp: number
  spread: Spread
}

interface Point {
  agents: number
  groupSize: number
  threads: number
}

/** The points of each series; all agents are adapters over one base. */
export function scalingPoints(threads: number): Record<ScalingRow['series'], Point[]> {
  const counts = [1, 2, 4, 8]
  return {
    agents: counts.map((agents) => ({ agents, groupSize: 8, threads })),
    'group size': [...counts, 16, 32].map((groupSize) => ({ agents: 1, groupSize, threads })),
    threads: (threads === 1 ? [1] : [1, threads]).map((count) => ({ agents: 2, groupSize: 8, threads: count })),
  }
}

/** All series for one model; the points of a series in turn. */
export async function measureScaling(session: Session, model: string): Promise<ScalingRow[]> {
  await session.prepare(model)
  const rows: ScalingRow[] = []
  for (const [name, points] of Object.entries(scalingPoints(session.options.threads))) {
    const series = name as ScalingRow['series']
    session.options.log(`${series} ${model} ...`)
    const workers: Worker[] = []
    try {
      for (const { agents, groupSize, threads } of points) {
        const worker = await session.ours({ OMP_NUM_THREADS: String(threads) })
        workers.push(worker)
        await worker.ask('open', { ...session.request(model), case: 'gen', adapters: true, agents, groupSize })
      }
      const spreads = await alternate(workers, session.options.reps)
      const rates = points.map(({ agents, groupSize }, i) => (agents * groupSize * newTokens) / spreads[i]!.median)
      for (const [index, point] of points.entries())
        rows.push({
          series,
          model,
          ...point,
          tokensPerSecond: significant(rates[index]!),
          speedUp: significant(rates[index]! / rates[0]!),
          spread: spreads[index]!,
        })
    } finally {
      await endAll(workers)
    }
  }
  return rows
}

/** Header and cells of a table. */
export function scalingCells(rows: readonly ScalingRow[]): { header: string[]; lines: string[][] } {
  return {
    header: ['varied', 'model', 'agents', 'group size', 'threads', 'tokens/s', 'over the first', 'busy'],
    lines: rows.map((row) => [
      row.series,
      row.model,
      String(row.agents),
      String(row.groupSize),
      String(row.threads),
      showNumber(row.tokensPerSecond),
      row.speedUp.toFixed(2),
      row.spread.others.toFixed(2),
    ]),
  }
}
