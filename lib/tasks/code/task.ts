import { expectList, expectObject } from '../../base/arguments.ts'
import { type OptionsOf, readOptions } from '../../base/validate.ts'
import type { Joint } from '../task/completion.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { codeBaselines } from './baselines.ts'
import { codeMeter } from './columns.ts'
import { CooperationMemory, cooperationReport, cooperationReportMetrics } from './cooperation-report.ts'
import { type CodeItem, checkCodeItem } from './item.ts'
import { codeSettings, type ExpertOptions } from './options.ts'
import { codePrompt, noParametersPrompt, parametersOf } from './prompts.ts'
import { type CodeRewardOptions, createCodeReward, scoreOf } from './reward.ts'
import { asPrompt, codeTransition } from './transition.ts'

/** Options of {@link codeTask}. */
export interface CodeTaskOptions extends Omit<CodeRewardOptions, 'rules'>, OptionsOf<typeof codeSettings> {
  /** The problems trained on. */
  items: readonly CodeItem[]
  /** Held-out problems for evaluation. */
  heldOut?: readonly CodeItem[]
  /** Name used in run folders and metrics. Defaults to `code`. */
  name?: string
  /**
   * Whether a problem whose prompt shows no parameters gives an error sentence as prompt, as the published formatter does.
   * Defaults to `false`: the parameters stay open.
   */
  needsParameters?: boolean
  /** Whom `expert_edits` asks; needed for it. */
  expert?: ExpertOptions
  /**
   * Most samples of an evaluation that are run again with other helpers, to see what the helper is good for; see
   * `cooperationReport`. Defaults to `16`; `0` runs none.
   */
  experiments?: number
}

/** What a code task takes besides its settings. */
const otherKeys = ['items', 'heldOut', 'name', 'needsParameters', 'sandbox', 'sandboxOptions', 'remember', 'limits']

/** The settings of a code task. @throws ConfigError for those that are unknown or out of range */
export function codeSettingsOf(name: string, options: object) {
  const known = [...otherKeys, 'expert', 'experiments']
  return readOptions(`Task "${name}"`, codeSettings, options, known)
}

/** A turn whose mean total, before scale and shift, is above it ends its episode: all but full marks (published: 3.8 and 2.0). */
export const finishedAbove = { team: 3.8, single: 2 }

/**
 * A task of problems of the HumanEval form, scored by `createCodeReward`. The sandbox starts at the first reward and
 * ends with the task's `dispose()`. With several turns (the algorithm's `turns`) the agents revise after feedback, see
 * `codeTransition`. Teams of two have the shares of cooperation schemes as metrics (`cooperation/...`), and evaluations
 * run some samples with other helpers; see `docs/cooperation.md`.
 *
 * @throws MagrpoError `ERR_DATA` naming the problem and the field that is missing; `ERR_ARGUMENT` for `expert_edits` without an expert; ConfigError for
 *   an option out of range
 */
export function codeTask(options: CodeTaskOptions): Task<CodeItem> {
  expectObject(options, 'options of tasks.code')
  const { items, heldOut, name = 'code' } = options
  const settings = codeSettingsOf(name, options)
  expectList(items, 'items of tasks.code')
  if (heldOut !== undefined) expectList(heldOut, 'heldOut of tasks.code')
  const { rules, agents, rewardScale, rewardShift, chat } = settings
  for (const [list, problems] of Object.entries({ items, heldOut: heldOut ?? [] }))
    for (const [index, item] of problems.entries()) checkCodeItem(item, `${list}[${index}]`)
  const reward = createCodeReward({ ...options, rules })
  const processed = (total: number) => total * rewardScale + rewardShift
  const isProcessed = rewardScale !== 1 || rewardShift !== 0
  const readings = new CooperationMemory()
  const textsOf = (joint: Joint) => joint.map((completion) => completion.text)
  const metrics = (item: CodeItem, joint: Joint) => readings.metrics(item.entry_point, textsOf(joint))
  const examine: Task<CodeItem>['examine'] = async (evaluated, { signal }) => {
    const teams = evaluated.filter(({ joint }) => joint.length > 1)
    if (options.experiments === 0 || teams.length === 0) return {}
    const samples = teams.map(({ item, joint }) => ({ item, texts: textsOf(joint) }))
    const sandbox = await reward.sandbox()
    const { experiments } = options
    return cooperationReportMetrics(await cooperationReport(samples, { sandbox, experiments, signal }))
  }
  return defineTask<CodeItem>({
    name,
    agents: agents === 1 ? ['main'] : ['aux', 'main'],
    items,
    heldOut,
    observe(item, agent) {
      const isOpen = options.needsParameters && parametersOf(item.prompt) === '...'
      return asPrompt(isOpen ? noParametersPrompt : codePrompt(item, agent, agents), chat)
    },
    async reward(item, joint, { signal }) {
      const texts = textsOf(joint)
      const report = await reward.report(item, texts, signal)
      readings.note(item.entry_point, texts, report.facts.cooperation)
      const { total, parts, ...why } = scoreOf(report)
      return isProcessed
        ? { total: processed(total), parts: { ...parts, raw: total }, ...why }
        : { total, parts, ...why }
    },
    transition: codeTransition(reward, settings, options.expert),
    ...(agents === 2 && { metrics, examine }),
    baselines: codeBaselines(agents),
    columns: (task) => codeMeter({ ...options, rules, task }),
    maxReward: processed(reward.maxReward(agents)),
    minReward: processed(0),
    defaults: {
      maxNewTokens: 256,
      rewardTimeoutMs: null, // programs have limits of their own
      terminationThreshold: processed(agents === 1 ? finishedAbove.single : finishedAbove.team),
    },
    dispose: () => reward.dispose(),
  })
}
