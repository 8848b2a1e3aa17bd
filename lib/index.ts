/** Public names of magrpo. */

export * from './base/errors.ts'
export type { Lines } from './base/validate.ts'
export { type CompareOptions, compare } from './compare/compare.ts'
export {
  type CompareConfig,
  loadCompareConfig,
  type MethodConfig,
  type ResolveCompareOptions,
  resolveCompareConfig,
  type WeightSource,
} from './compare/config.ts'
export {
  type BaselineSample,
  type BaselineSettings,
  playBaseline,
  type ScoredJoint,
  type Utterance,
} from './compare/play-baseline.ts'
export type { RunConfig, TaskConfig } from './config/load.ts'
export type { TaskModule, TeamConfig } from './config/schema.ts'
export type { Setting } from './config/set-paths.ts'
export { type DoctorReport, diagnose } from './doctor/doctor.ts'
export type { AddonReport, CpuReport } from './doctor/doctor-addon.ts'
export type { BubblewrapReport } from './doctor/doctor-bubblewrap.ts'
export type { DownloadEvent } from './hub/download.ts'
export type { AdapterSettings } from './model/adapter.ts'
export { supportedArchitectures } from './model/architecture.ts'
export type { Architecture, ModelConfig } from './model/config.ts'
export {
  accumulateBatch,
  type BatchOptions,
  generateBatch,
  type SampleEvent,
  scoreBatch,
  type TokenEvent,
} from './model/generate.ts'
export { type LoadOptions, Model } from './model/model.ts'
export { modelFolder } from './model/names.ts'
export { type GenerateOptions, type LoraOptions, Policy, type PolicyGroup } from './model/policy.ts'
export { type DownloadOptions, type PulledModel, pullModel } from './model/pull.ts'
export type * from './model/types.ts'
export type { NativeInfo, NativeRope } from './native/addon-types.ts'
export type { FoundLibtorch } from './native/setup-scripts.ts'
export type { Estimate } from './report/comparison/statistics.ts'
export type { Comparison, ComparisonAbout, MethodAbout, MethodSummary } from './report/comparison/types.ts'
export { type ReportOptions, writeReport } from './report/report.ts'
export { grpo, iac, maac, magrpo, mareinforce, maremax, marloo } from './rl/algorithms/algorithms.ts'
export { type AdvantageSettings, type GroupAdvantages, groupAdvantages } from './rl/credit/advantages.ts'
export { type EvaluateOptions, evaluate } from './rl/evaluate.ts'
export type { EvaluateSettings } from './rl/evaluation.ts'
export type { DeviceMemory, MemoryPart, MemoryPartName, MemoryPlan } from './rl/memory/plan.ts'
export type * from './rl/options/algorithm.ts'
export type { AdvantageMode } from './rl/options/algorithm.ts'
export type { Run } from './rl/run.ts'
export { type AdapterOptions, type Agent, type Member, Team, type TeamOptions } from './rl/team/team.ts'
export type { WatchState, Window } from './rl/types/reports.ts'
export type * from './rl/types/sink.ts'
export type { CheckpointOptions } from './run/checkpointer.ts'
export { type ExportedWeights, type ExportOptions, exportWeights } from './run/export.ts'
export type {
  AuxConstant,
  AuxVariant,
  CooperationProgram,
  ExperimentReport,
  ExperimentRequest,
} from './sandbox/cooperation.ts'
export { PythonSandbox } from './sandbox/python-sandbox.ts'
export type {
  AuxMisuse,
  CodeDiagnosis,
  CodeReport,
  CodeRequest,
  CooperationFeatures,
  CooperationReading,
  DefinitionReport,
  FailureReason,
  ProgramFacts,
  SandboxLimits,
  SandboxOptions,
  SandboxResources,
  TestOutcome,
  TestReport,
  TestRequest,
} from './sandbox/types.ts'
export type { PrepareResumeOptions } from './session/prepare-run.ts'
export { type ResumedRun, type ResumeOptions, resume } from './session/resume.ts'
export { type RecordedTrainOptions, train } from './session/train.ts'
export { type SingleTaskOptions, singleTask } from './tasks/baselines/single-task.ts'
export {
  type Cooperation,
  type CooperationExperiment,
  type CooperationLabel,
  type CooperationOptions,
  type CooperationSample,
  cooperationLabels,
  detectCooperation,
  detectCooperations,
} from './tasks/code/cooperation.ts'
export {
  type CooperationReport,
  type CooperationReportOptions,
  cooperationReport,
} from './tasks/code/cooperation-report.ts'
export type { CodeDataOptions, MbppOptions } from './tasks/code/data-task.ts'
export type { ExpertOptions } from './tasks/code/expert.ts'
export type { SandboxSlice } from './tasks/code/feedback-analysis.ts'
export type { CodeItem } from './tasks/code/item.ts'
export type { CodeRules } from './tasks/code/reward.ts'
export type { CodeTaskOptions } from './tasks/code/task.ts'
export { type LoadItemsOptions, loadItems } from './tasks/datasets/items.ts'
export type { AnySource, DataSource, FileSource, HubSource } from './tasks/datasets/load.ts'
export { tasks } from './tasks/index.ts'
export type { MiniCodeFeedback } from './tasks/mini-code/feedback.ts'
export type { ProgramRunner } from './tasks/mini-code/judge.ts'
export type { MiniCodeItem } from './tasks/mini-code/problems.ts'
export type { MiniCodeOptions } from './tasks/mini-code/task.ts'
export type { TaskName } from './tasks/registry.ts'
export type * from './tasks/task/baselines.ts'
export type { Column, TableKind } from './tasks/task/columns.ts'
export type * from './tasks/task/completion.ts'
export { defineTask, type TaskDefinition } from './tasks/task/define-task.ts'
export { type PythonReward, type PythonRewardSettings, pythonReward } from './tasks/task/python-reward.ts'
export type * from './tasks/task/types.ts'
export type { ArxivOptions } from './tasks/writing/arxiv.ts'
export type { ArxivItem, StoryItem, TldrItem } from './tasks/writing/items.ts'
export type { WritingRules } from './tasks/writing/reward.ts'
export type { StoryOptions } from './tasks/writing/story.ts'
export type { ItemSource, WritingOptions } from './tasks/writing/writing-task.ts'
export type { ChatOptions } from './text/chat-template.ts'
export type { ChatMessage } from './text/messages.ts'
export { StreamDecoder } from './text/stream-decoder.ts'
export { type DecodeOptions, type EncodeOptions, type SpecialIds, Tokenizer } from './text/tokenizer.ts'
export type {
  AddedTokenJson,
  SpecialTokenJson,
  TokenizerConfig,
  TokenizerFiles,
  TokenizerJson,
} from './text/tokenizer-files.ts'
export { type TensorBoardOptions, tensorBoard } from './track/tensorboard.ts'
export type { TrackedRun, Tracker } from './track/tracker.ts'
export { startWatch, type WatchOptions, type WatchServer } from './watch/watch-server.ts'
