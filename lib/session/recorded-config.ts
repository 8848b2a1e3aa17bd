/** The configuration of a run in the form of a configuration file, as run folders keep it. */
import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'yaml'
import { writtenChoice } from '../config/choice.ts'
import { type RunConfig, resolveConfig } from '../config/load.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import { withFormerDefaults } from '../run/former-defaults.ts'
import { type RunFolder, runFiles } from '../run/run-folder.ts'
import { type RunInfo, runFormat } from '../run/run-info.ts'

/** Writes `config.yaml` as training resolved it; one that a person edited since is left alone, and has no effect. */
export async function writeResolved(
  folder: RunFolder,
  config: RunConfig,
  options: ResolvedTrainOptions,
  { format = runFormat, onWarning = () => {} }: { format?: number; onWarning?: (message: string) => void } = {},
): Promise<void> {
  const resolved = resolvedConfig(config, options)
  const existing = folder.isResumed ? await readConfig(folder, format) : undefined
  const isOurs = [configFile(config), resolved].some((ours) =>
    isDeepStrictEqual(comparable(existing), comparable(JSON.parse(JSON.stringify(ours)))),
  )
  if (existing === undefined || isOurs) return folder.writeConfig(resolved)
  onWarning(
    `${folder.file(runFiles.config)} was edited since the run began. The run goes on as it began; train with the file to begin another.`,
  )
}

async function readConfig(folder: RunFolder, format: number): Promise<unknown> {
  try {
    const config = parse(await readFile(folder.file(runFiles.config), 'utf8')) as unknown
    return recordedConfig({ format, config })
  } catch {
    return undefined
  }
}

/** Without what a run may be resumed with otherwise, and with the defaults that an older version did not write. */
function comparable(config: unknown): unknown {
  const {
    runDir: _,
    checkpointEvery: _every,
    keepCheckpoints: _keep,
    ...rest
  } = (config ?? {}) as Record<string, unknown>
  try {
    const config = resolveConfig(rest)
    return configFile({ ...config, optimizer: { ...config.optimizer, sharded: false, offload: false }, runDir: '' })
  } catch {
    return rest // edited so that it is no configuration any more
  }
}

/** The configuration that a run was begun with, with the defaults of its time. */
export function recordedConfig({ format, config }: Pick<RunInfo, 'format' | 'config'>): unknown {
  return format > 1 ? config : withFormerDefaults(config as Record<string, unknown>)
}

/** The configuration in the form of a configuration file. */
export function configFile(config: RunConfig): Record<string, unknown> {
  return { ...config, task: writtenChoice(config.task), trackers: config.trackers.map(writtenChoice) }
}

/** The configuration with everything as training resolved it, still in the form of a configuration file. */
function resolvedConfig(config: RunConfig, resolved: ResolvedTrainOptions): Record<string, unknown> {
  const { task: about, team: _team, epochs: _epochs, maxTokensPerMicroBatch, rewardTimeoutMs, ...settings } = resolved
  const { epochs: _given, ...file } = configFile(config)
  const { adapter } = config.team
  const fullAdapter = adapter === 'full' ? adapter : { alpha: 2 * adapter.rank, ...adapter }
  return {
    ...file,
    ...settings,
    ...(maxTokensPerMicroBatch !== null && { maxTokensPerMicroBatch }),
    ...(rewardTimeoutMs !== null && { rewardTimeoutMs }),
    team: { ...config.team, agents: about.agents, adapter: fullAdapter },
  }
}
