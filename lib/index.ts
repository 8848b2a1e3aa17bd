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
export type { Choice, ChosenModule, ChosenModule as TaskModule } from './config/choice.ts'
export type { RunConfig, TaskConfig, TrackerConfig } from './config/load.ts'
export type { TeamConfig } from './config/schema.ts'
export type { Setting } from './config/set-paths.ts'
export { type DoctorReport, diagnose } from './doctor/doctor.ts'
export type { AddonReport, CpuReport } from './doctor/doctor-addon.ts'
export type { BubblewrapReport } from './doctor/doctor-bubblewrap.ts'
export type { DownloadEvent } from './hub/download.ts'
export type { AdapterSettings } from './model/adapter.ts'
export { supportedArchitectures } from './model/architecture.ts'
export type { Architecture, ModelConfig } from './model/config.ts'
export type { DownloadOptions } from './model/download-options.ts'
export { type GenerateBatchOptions, generateBatch, type SampleEvent, type TokenEvent } from './model/generate.ts'
export type { LoraOptions } from './model/lora-options.ts'
export { type LoadOptions, Model } from './model/model.ts'
export { modelFolder } from './model/names.ts'
export { type GenerateOptions, Policy, type PolicyGroup } from './model/policy.ts'
export { type PulledModel, pullModel } from './model/pull.ts'
export type * from './model/sampling.ts'
export { accumulateBatch, type BatchOptions, scoreBatch } from './model/score.ts'
export type { StepOptions } from './model/step-options.ts'
export type * from './model/types.ts'
export type { NativeInfo, NativeLimits, NativeRope } from './native/addon-types.ts'
export type { FoundLibtorch } from './native/setup-scripts.ts'
export type { Estimate } from './report/comparison/statistics.ts'
export type { Comparison, ComparisonAbout, MethodAbout, MethodSummary } from './report/comparison/types.ts'
export { type ReportOptions, writeReport } from './report/report.ts'
export type { AlgorithmEntry, AlgorithmMaker } from './rl/algorithms/define.ts'
export type { OpenAlgorithmOptions } from './rl/algorithms/group-relative.ts'
export { grpo } from './rl/algorithms/grpo.ts'
export { iac } from './rl/algorithms/iac.ts'
export { maac } from './rl/algorithms/maac.ts'
export { magrpo } from './rl/algorithms/magrpo.ts'
export { mareinforce } from './rl/algorithms/mareinforce.ts'
export { maremax } from './rl/algorithms/maremax.ts'
export { marloo } from './rl/algorithms/marloo.ts'
export { type AlgorithmConfig, type AlgorithmName, algorithms } from './rl/algorithms/registry.ts'
export { type AdvantageSettings, type GroupAdvantages, groupAdvantages } from './rl/credit/advantages.ts'
export type { EvaluateSettings } from './rl/evaluation.ts'
export type { DeviceMemory, MemoryPart, MemoryPartName, MemoryPlan } from './rl/memory/plan.ts'
export type * from './rl/options/algorithm.ts'
export type * from './rl/options/optimizer.ts'
export type * from './rl/options/run.ts'
export type { Run } from './rl/run.ts'
export { type AdapterOptions, type Agent, type Member, Team, type TeamOptions } from './rl/team/team.ts'
export type * from './rl/train-options.ts'
export type * from './rl/types/options.ts'
export type * from './rl/types/reports.ts'
export type * from './rl/types/sink.ts'
export type { CheckpointOptions } from './run/checkpoint-options.ts'
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
  ForgeableTests,
  ProgramFacts,
  SandboxLimits,
  SandboxOptions,
  SandboxResources,
  TestOutcome,
  TestReport,
  TestRequest,
} from './sandbox/types.ts'
export { type EvaluateOptions, evaluate } from './session/evaluate.ts'
export type { PrepareResumeOptions } from './session/prepare-run.ts'
export { type ResumedRun, type ResumeOptions, resume } from './session/resume.ts'
export { type RecordedTrainOptions, train } from './session/train.ts'
export type { ArxivItem, ArxivOptions } from './tasks/arxiv/options.ts'
export type { SingleTaskOptions } from './tasks/baselines/options.ts'
export { singleTask } from './tasks/baselines/single-task.ts'
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
export type { CodeItem } from './tasks/code/item.ts'
export type { CodeDataOptions } from './tasks/code/load-task.ts'
export type { ExpertOptions, SandboxSlice } from './tasks/code/options.ts'
export type { CodeTaskOptions } from './tasks/code/task.ts'
export { type LoadItemsOptions, loadItems } from './tasks/datasets/items.ts'
export type { AnySource, DataSource, FileSource, HubSource, ItemSource } from './tasks/datasets/source.ts'
export { tasks } from './tasks/index.ts'
export type { MbppOptions } from './tasks/mbpp/options.ts'
export type { ProgramRunner } from './tasks/mini-code/judge.ts'
export type { MiniCodeFeedback } from './tasks/mini-code/options.ts'
export type { MiniCodeItem } from './tasks/mini-code/problems.ts'
export type { MiniCodeOptions } from './tasks/mini-code/task.ts'
export type { TaskName } from './tasks/names.ts'
export type { StoryItem, StoryOptions } from './tasks/story/options.ts'
export type * from './tasks/task/baselines.ts'
export type * from './tasks/task/columns.ts'
export type * from './tasks/task/completion.ts'
export { defineTask, type TaskDefinition } from './tasks/task/define-task.ts'
export type { Rules, Rules as CodeRules, Rules as WritingRules } from './tasks/task/options.ts'
export { type PythonReward, pythonReward } from './tasks/task/python-reward.ts'
export type { PythonRewardSettings } from './tasks/task/python-reward-options.ts'
export type * from './tasks/task/types.ts'
export type { TldrItem } from './tasks/tldr/options.ts'
export type { WritingOptions } from './tasks/writing/options.ts'
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
export type { TrackerName } from './track/names.ts'
export { type TensorBoardOptions, tensorBoard } from './track/tensorboard.ts'
export type { TrackedRun, Tracker } from './track/tracker.ts'
export { startWatch, type WatchOptions, type WatchServer } from './watch/watch-server.ts'
