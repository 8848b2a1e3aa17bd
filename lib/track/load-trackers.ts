import { MagrpoError } from '../base/errors.ts'
import { importModule } from '../base/import-module.ts'
import type { TrackerConfig, TrackerName } from './names.ts'
import { tensorBoard } from './tensorboard.ts'
import type { Tracker } from './tracker.ts'

const builtIn: Record<TrackerName, () => Tracker> = { tensorboard: tensorBoard }

/**
 * Makes the trackers of a configuration.
 *
 * A module exports its tracker, or a function of the options that gives one (a promise of one too), as `default` or as `tracker`.
 *
 * @throws MagrpoError `ERR_CONFIG` if a module cannot be loaded or exports no tracker
 */
export async function loadTrackers(configs: readonly TrackerConfig[]): Promise<Tracker[]> {
  const trackers: Tracker[] = []
  for (const config of configs)
    trackers.push(typeof config === 'string' ? builtIn[config]() : await fromModule(config.module, config.options))
  return trackers
}

async function fromModule(module: string, options: unknown): Promise<Tracker> {
  const exported = await importModule(module, (message, cause) => trackerError(module, message, cause))
  const found = exported.default ?? exported.tracker
  const tracker: unknown = typeof found === 'function' ? await found(options ?? {}) : found
  if (typeof tracker !== 'object' || tracker === null)
    throw trackerError(
      module,
      'expected a tracker, or a function that makes one, as its default export or as "tracker"',
    )
  const missing = ['start', 'step', 'evaluation', 'end'].filter(
    (name) => typeof (tracker as Record<string, unknown>)[name] !== 'function',
  )
  if (missing.length > 0) throw trackerError(module, `its tracker has no ${missing.join(', no ')}`)
  const named = tracker as Tracker
  return typeof named.name === 'string' && named.name !== '' ? named : withName(named, module)
}

function withName(tracker: Tracker, name: string): Tracker {
  return {
    name,
    start: (run) => tracker.start(run),
    step: (report) => tracker.step(report),
    evaluation: (report) => tracker.evaluation(report),
    end: (end) => tracker.end(end),
  }
}

function trackerError(module: string, message: string, cause?: unknown): MagrpoError {
  return new MagrpoError('ERR_CONFIG', `The tracker module ${module}: ${message}.`, { details: { module }, cause })
}
