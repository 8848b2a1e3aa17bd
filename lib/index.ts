/** Public names of magrpo. */
export { type BaselineSample, playBaseline } from './baselines/play.ts'
export { singleTask } from './baselines/single-task.ts'
export type * from './baselines/types.ts'
export { type CompareOptions, compare } from './compare/compare.ts'
export { type CompareConfig, loadCompareConfig, resolveCompareConfig } from './compare/config.ts'
export * from './errors.ts'
export type { AdapterSettings } from './model/adapter.ts'
export { accumulateBatch, type BatchOptions, generateBatch, scoreBatch, type TokenEvent } from './model/batch.ts'
export { type Architecture, type ModelConfig, supportedArchitectures } from './model/config.ts'
export { type LoadOptions, Model } from './model/model.ts'
export { type GenerateOptions, type LoraOptions, Policy, type PolicyGroup } from './model/policy.ts'
export type * from './model/types.ts'
export { type DoctorReport, diagnose } from './native/doctor.ts'
export { groupAdvantages } from './rl/advantages.ts'
export type * from './rl/algorithm-options.ts'
export { grpo, iac, maac, magrpo, mareinforce, maremax, marloo } from './rl/algorithms.ts'
export { type EvaluateOptions, evaluate } from './rl/evaluate.ts'
export type { Run } from './rl/run.ts'
export { type AdapterOptions, type Agent, type Member, Team } from './rl/team.ts'
export type * from './rl/types.ts'
export { modelFolder } from './run/model-source.ts'
export { type RecordedTrainOptions, train } from './run/train.ts'
export { PythonSandbox } from './sandbox/python-sandbox.ts'
export {
  type Cooperation,
  type CooperationLabel,
  cooperationLabels,
  detectCooperation,
  detectCooperations,
} from './tasks/code/cooperation.ts'
export { type CooperationReport, cooperationReport } from './tasks/code/cooperation-report.ts'
export { loadItems } from './tasks/data.ts'
export { defineTask, type TaskDefinition } from './tasks/define-task.ts'
export { tasks } from './tasks/index.ts'
export { type PythonReward, type PythonRewardSettings, pythonReward } from './tasks/python-reward.ts'
export type * from './tasks/types.ts'
export { Tokenizer } from './text/tokenizer.ts'
