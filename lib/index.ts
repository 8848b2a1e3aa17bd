/** Public names of magrpo. */
export {
  type BaselineSample,
  type BaselineSettings,
  playBaseline,
  type ScoredJoint,
  type Utterance,
} from './baselines/play.ts'
export { type SingleTaskOptions, singleTask } from './baselines/single-task.ts'
export type * from './baselines/types.ts'
export { type CompareOptions, compare } from './compare/compare.ts'
export {
  type CompareConfig,
  loadCompareConfig,
  type MethodConfig,
  type ResolveCompareOptions,
  resolveCompareConfig,
  type WeightSource,
} from './compare/config.ts'
export type { Estimate } from './compare/statistics.ts'
export type { Column, Comparison, ComparisonAbout, MethodAbout, MethodSummary, TableKind } from './compare/types.ts'
export type { RunConfig, TaskConfig } from './config/load.ts'
export type { TaskModule, TeamConfig } from './config/schema.ts'
export type { Setting } from './config/set-paths.ts'
export type { Lines } from './config/validate.ts'
export * from './errors.ts'
export type { DownloadEvent } from './hub/download.ts'
export { type DownloadOptions, type PulledModel, pullModel } from './hub/models.ts'
export type { AdapterSettings } from './model/adapter.ts'
export {
  accumulateBatch,
  type BatchOptions,
  generateBatch,
  type SampleEvent,
  scoreBatch,
  type TokenEvent,
} from './model/batch.ts'
export { type Architecture, type ModelConfig, supportedArchitectures } from './model/config.ts'
export { type LoadOptions, Model } from './model/model.ts'
export { type GenerateOptions, type LoraOptions, Policy, type PolicyGroup } from './model/policy.ts'
export type * from './model/types.ts'
export type { NativeInfo, NativeRope } from './native/addon-types.ts'
export { type DoctorReport, diagnose } from './native/doctor.ts'
export type { AddonReport, CpuReport } from './native/doctor-addon.ts'
export type { BubblewrapReport } from './native/doctor-bubblewrap.ts'
export type { FoundLibtorch } from './native/setup-scripts.ts'
export { type ReportOptions, writeReport } from './report/report.ts'
export { type AdvantageMode, type AdvantageSettings, type GroupAdvantages, groupAdvantages } from './rl/advantages.ts'
export type * from './rl/algorithm-options.ts'
export { grpo, iac, maac, magrpo, mareinforce, maremax, marloo } from './rl/algorithms.ts'
export { type EvaluateOptions, evaluate } from './rl/evaluate.ts'
export type { EvaluateSettings } from './rl/evaluation.ts'
export type { DeviceMemory, MemoryPart, MemoryPartName, MemoryPlan } from './rl/memory-plan.ts'
export type { Run } from './rl/run.ts'
export { type AdapterOptions, type Agent, type Member, Team, type TeamOptions } from './rl/team.ts'
export type * from './rl/types.ts'
export type { WatchState, Window } from './rl/warnings.ts'
export type { CheckpointOptions } from './run/checkpointer.ts'
export { type ExportedWeights, type ExportOptions, exportWeights } from './run/export.ts'
export { modelFolder } from './run/model-source.ts'
export type { PrepareResumeOptions } from './run/prepare-run.ts'
export { type ResumedRun, type ResumeOptions, resume } from './run/resume.ts'
export { type RecordedTrainOptions, train } from './run/train.ts'
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
export { type LoadItemsOptions, loadItems } from './tasks/data.ts'
export type { AnySource, DataSource, FileSource, HubSource } from './tasks/datasets/load.ts'
export { defineTask, type TaskDefinition } from './tasks/define-task.ts'
export { tasks } from './tasks/index.ts'
export type { MiniCodeFeedback } from './tasks/mini-code/feedback.ts'
export type { ProgramRunner } from './tasks/mini-code/judge.ts'
export type { MiniCodeItem } from './tasks/mini-code/problems.ts'
export type { MiniCodeOptions } from './tasks/mini-code/task.ts'
export { type PythonReward, type PythonRewardSettings, pythonReward } from './tasks/python-reward.ts'
export type { TaskName } from './tasks/registry.ts'
export type * from './tasks/types.ts'
export type { ArxivItem, ArxivOptions } from './tasks/writing/arxiv.ts'
export type { WritingRules } from './tasks/writing/reward.ts'
export type { StoryItem, StoryOptions } from './tasks/writing/story.ts'
export type { TldrItem } from './tasks/writing/tldr.ts'
export type { ItemSource, WritingOptions } from './tasks/writing/writing-task.ts'
export type { ChatOptions } from './text/chat-template.ts'
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
