import { expectInstance, expectObject } from '../base/arguments.ts'
import { abortSignal, callback } from '../base/fields.ts'
import { resolve, section } from '../base/validate.ts'
import { ranksOfRun } from '../ranks/process-ranks.ts'
import { type EvaluateSettings, evaluateBackend } from '../rl/evaluation.ts'
import { backendOf } from '../rl/team/policy-engine.ts'
import { Team } from '../rl/team/team.ts'
import type { EvalReport } from '../rl/types/reports.ts'

/** What {@link evaluate} takes. */
export type EvaluateOptions<Item = unknown> = EvaluateSettings<Item> & { team: Team }

const watchSection = section({ signal: abortSignal(), onProgress: callback() })

/**
 * Mean reward, parts and metrics of a team, of any kinds of policies, on items it is not trained on.
 *
 * Metrics have the names of training after `eval/` (sampled) and `eval/greedy/`; `reward/stderr` is the standard error of
 * the mean over items. The random streams are those of step 0, which training never uses. In a process that a launcher started as one of
 * several, each plays its share of the items, and all get the whole report.
 *
 * @throws ConfigError for settings out of range; MagrpoError `ERR_TASK` where task and team do not fit; see `rollOut`
 */
export async function evaluate<Item>(options: EvaluateOptions<Item>): Promise<EvalReport> {
  expectObject(options, 'options of evaluate')
  const { team, ...settings } = options
  expectInstance(team, Team, 'team of evaluate')
  const { signal, onProgress } = settings
  resolve(watchSection, { signal, onProgress }, 'The evaluation')
  const ranks = ranksOfRun(team.columns)
  const ended = new AbortController()
  // Whoever is gone would be waited for for ever.
  await ranks?.begin({ onMessage: () => {}, onLost: (error) => ended.abort(error) })
  try {
    await ranks?.alike()
    const both = ranks === undefined ? signal : AbortSignal.any([ended.signal, ...(signal ? [signal] : [])])
    return await evaluateBackend(backendOf(team, { ranks }), { ...settings, signal: both })
  } finally {
    ranks?.end()
  }
}
