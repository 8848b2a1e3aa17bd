import { MagrpoError } from '../base/errors.ts'
import { importExport } from '../base/import-module.ts'
import { type TrackerName, trackerRegistry } from './names.ts'
import type { Tracker } from './tracker.ts'

/** A tracker of a configuration. */
type Chosen = { name: TrackerName; options: Record<string, unknown> } | { module: string; options?: unknown }

/**
 * Makes the trackers of a configuration.
 *
 * A module exports its tracker, or a function of the options that gives one (a promise of one too), as `default` or as `tracker`.
 *
 * @throws MagrpoError `ERR_CONFIG` if a module cannot be loaded or exports no tracker
 */
export async function loadTrackers(configs: readonly Chosen[]): Promise<Tracker[]> {
  const trackers: Tracker[] = []
  for (const config of configs)
    trackers.push(
      'module' in config ? await fromModule(config) : await trackerRegistry[config.name].create(config.options),
    )
  return trackers
}

async function fromModule(config: { module: string; options?: unknown }): Promise<Tracker> {
  const { module } = config
  const tracker = await importExport(config, 'tracker', (message, cause) => trackerError(module, message, cause))
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
