/** The process of one stage: an error that spoils a device, or ends the process, must not take the other stages along. */
import { runStage } from './stages.ts'
import type { StageMessage, StageRequest } from './types.ts'

const send = (message: StageMessage) =>
  new Promise<void>((resolve, reject) =>
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve())),
  )

process.once('message', async (request: StageRequest) => {
  const sent: Promise<void>[] = []
  try {
    await runStage(request, {
      onRow: (row) => sent.push(send({ row })),
      onSkipped: (skipped) => sent.push(send({ skipped })),
    })
    await Promise.all(sent)
  } catch (error) {
    await send({ error: error instanceof Error ? error.message : String(error) })
  }
  process.disconnect()
})
