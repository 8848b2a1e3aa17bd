/** What a setting saves in memory: two processes that differ in it alone, in one run. */
import { alternate } from '../alternate.ts'
import { finishRow, type Row, type RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'
import { significant } from '../statistics.ts'
import { endAll, type Worker } from '../worker.ts'

const mebibyte = 2 ** 20

/** Moments in 8 bits against float32, after the same updates. @throws Error where it cannot be measured */
export async function scaleRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const workers: Worker[] = []
  try {
    for (const moments of ['int8', 'float32']) {
      const worker = await session.ours()
      workers.push(worker)
      await worker.ask('open', { ...session.request(model), case: 'update', moments })
    }
    const [int8, float32] = await alternate(workers, session.options.reps)
    const [small, large] = await Promise.all(workers.map((worker) => worker.ask<number>('resident')))
    // Weights are float32 and have two moments each.
    const momentBytes = 2 * (await workers[1]!.ask<number>('weightBytes'))
    return finishRow(spec, model, {
      ours: significant((large! - small!) / mebibyte),
      peer: significant((0.75 * momentBytes) / mebibyte),
      details: {
        residentBytes: { int8: small, float32: large },
        momentBytes,
        int8,
        float32,
        note: `an update takes ${(int8!.median / float32!.median).toFixed(2)} times as long`,
      },
    })
  } finally {
    await endAll(workers)
  }
}
