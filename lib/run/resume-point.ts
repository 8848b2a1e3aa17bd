/** Where a run that was interrupted goes on: the newest checkpoint that is whole and fits what the run is resumed with. */
import { isDeepStrictEqual } from 'node:util'
import { MagrpoError } from '../base/errors.ts'
import { checkJsonLines } from '../base/read-lines.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { Checkpoint, CheckpointState, CheckpointStore } from './checkpoint-store.ts'
import type { RunFolder } from './run-folder.ts'

/** What a run is resumed with. */
interface ResumeSettings {
  options: ResolvedTrainOptions
  /** Checksums of the task's items and held-out items. */
  data: Pick<CheckpointState['data'], 'items' | 'heldOut'>
  /** Takes what a person should know. */
  onWarning(message: string): void
}

/**
 * Finds the checkpoint to go on from; null for the beginning of the run. Damaged ones are set aside with a warning.
 *
 * @throws MagrpoError `ERR_CHECKPOINT` if there are checkpoints but none is whole, or the run's settings or data are others than
 *   they were; `ERR_DATA` or `ERR_RUN` if lines that belong to the checkpoint were damaged or removed
 */
export async function findResumePoint(
  folder: RunFolder,
  store: CheckpointStore,
  settings: ResumeSettings,
): Promise<Checkpoint | null> {
  await store.tidy()
  const { checkpoint, damaged } = await store.newest()
  if (checkpoint === null) {
    if (damaged.length === 0) return null
    const list = damaged.map(({ directory, reason }) => `\n  ${directory}: ${reason}`).join('')
    throw new MagrpoError(
      'ERR_CHECKPOINT',
      `No checkpoint of this run is whole. Remove ${store.path} to begin at step 0 again.${list}`,
      { details: { path: store.path, damaged } },
    )
  }
  checkOptions(checkpoint, settings)
  for (const [name, bytes] of Object.entries(checkpoint.state.lines)) await checkJsonLines(folder.file(name), bytes)
  for (const { step, directory, reason } of damaged) {
    const kept = await store.setAside(step)
    settings.onWarning(
      `The checkpoint ${directory} is damaged (${reason}): the run goes on from step ${checkpoint.step} instead. ` +
        `It was set aside as ${kept}.`,
    )
  }
  return checkpoint
}

/** Options that change how a run is watched or how patient it is, and not what it computes. */
const free: ReadonlySet<string> = new Set(['rewardTimeoutMs', 'rewardConcurrency'])

function checkOptions({ directory, state }: Checkpoint, { options, data }: ResumeSettings): void {
  // What is compared is what a file can hold.
  const now = JSON.parse(JSON.stringify(options)) as Record<string, unknown>
  const then = state.options as unknown as Record<string, unknown>
  const changed = [...new Set([...Object.keys(now), ...Object.keys(then)])].filter(
    (name) => !free.has(name) && !isDeepStrictEqual(comparable(name, now[name]), comparable(name, then[name])),
  )
  const list = changed.map((name) => `\n  ${name}: ${JSON.stringify(then[name])}, now ${JSON.stringify(now[name])}`)
  for (const name of ['items', 'heldOut'] as const) {
    if (data[name] !== state.data[name]) list.push(`\n  the task's ${name}: their contents are others`)
  }
  if (list.length === 0) return
  throw new MagrpoError(
    'ERR_CHECKPOINT',
    `A run goes on with the settings and data it began with, but these changed since ${directory}:${list.join('')}`,
    { details: { path: directory, changed } },
  )
}

/** Models may have moved, and what is computed and saved does not depend on where an optimizer's state is held. */
function comparable(name: string, value: unknown): unknown {
  if (name === 'optimizer') {
    const { sharded: _, offload: __, ...settings } = (value ?? {}) as Record<string, unknown>
    return settings
  }
  if (name !== 'team' || !Array.isArray(value)) return value
  return value.map(({ source: _, ...agent }: Record<string, unknown>) => agent)
}
