/** Trained weights, taken elsewhere: of a run, of an adapter, or of a model folder, in the layout of Hugging Face or PEFT. */

import { existsSync } from 'node:fs'
import { copyFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectText } from '../base/arguments.ts'
import { MagrpoError } from '../base/errors.ts'
import { abortSignal, callback, text } from '../base/fields.ts'
import { makeFolder } from '../base/make-folder.ts'
import { readJsonFile } from '../base/read-json.ts'
import { choice, type FieldsOf, resolve, section } from '../base/validate.ts'
import { replaceFile, writing } from '../base/write-file.ts'
import type { DownloadEvent } from '../hub/download.ts'
import { parseHubName } from '../hub/names.ts'
import type { LoadOptions, Model } from '../model/model.ts'
import type { Policy } from '../model/policy.ts'
import { runFiles } from './run-folder.ts'
import { refuseNewerRun, runInfoFile } from './run-info.ts'

/** What {@link exportWeights} may be told. */
export interface ExportOptions {
  /** Folder to write to; new or empty. Of a run with all its agents, each gets a folder of its name below it. */
  out: string
  /**
   * `adapter`: in PEFT's layout, to be opened over its base. `merged`: the base with the adapter added to its weights, a model of
   * its own. Default: as it was trained, an adapter or all weights.
   */
  as?: 'adapter' | 'merged'
  /** Of a run: only this agent. Its folder is then `out` itself. */
  agent?: string
  /** Of a run: after its last step, or best on held-out items. Defaults to `final`. */
  weights?: 'final' | 'best'
  /** The adapter's base, where it is not any more what the adapter says: a folder, or a name of the hub. */
  base?: string
  /** Of merged weights. Defaults to that of the base; float32 keeps every bit of the sum. */
  dtype?: 'auto' | 'float32' | 'bfloat16'
  signal?: AbortSignal
  /** Told of a base that has to be downloaded, before it is. */
  onDownload?(event: DownloadEvent): void
}

/** What was written. */
export interface ExportedWeights {
  /** Null where it was not a run's. */
  agent: string | null
  kind: 'full' | 'adapter' | 'merged'
  folder: string
  /** Name or folder of the base of an adapter, merged or not; null for weights that were trained whole. */
  base: string | null
}

const exportSection = section({
  out: text(),
  as: choice(['adapter', 'merged']).optional(),
  agent: text().optional(),
  weights: choice(['final', 'best']).optional(),
  base: text().optional(),
  dtype: choice(['auto', 'float32', 'bfloat16']).optional(),
  signal: abortSignal(),
  onDownload: callback(),
} satisfies FieldsOf<ExportOptions>)

/**
 * Writes trained weights so that `transformers` (all weights, merged) or `peft` (adapters) open them; the run stays as it is.
 *
 * ```ts
 * await exportWeights('runs/story', { out: 'story-models', as: 'merged' })
 * ```
 *
 * @param source run folder, folder of an adapter, or folder of a model
 * @throws MagrpoError `ERR_RUN` if there is nothing to export or `out` cannot be written, `ERR_ARGUMENT` for an agent or form that it
 *   does not have, `ERR_RUN_EXISTS` if `out` holds something; what loading the base throws
 */
export async function exportWeights(source: string, options: ExportOptions): Promise<ExportedWeights[]> {
  expectText(source, 'source of exportWeights')
  const { out, agent, signal } = resolve(exportSection, options, 'The options of exportWeights')
  const found = await sourcesOf(source, options)
  if ((await readdir(out).catch(() => [])).length > 0) {
    const message = `Expected a new or empty folder to export to but ${out} holds something already.`
    throw new MagrpoError('ERR_RUN_EXISTS', message, { details: { path: out } })
  }
  const exported: ExportedWeights[] = []
  for (const { name, folder } of found) {
    signal?.throwIfAborted()
    const target = name === null || agent !== undefined ? out : join(out, name)
    exported.push({ agent: name, folder: target, ...(await exportOne(folder, target, options)) })
  }
  return exported
}

/** The folders with weights that a source stands for. */
async function sourcesOf(
  source: string,
  { agent, weights = 'final' }: ExportOptions,
): Promise<{ name: string | null; folder: string }[]> {
  const details = { path: source }
  if (!existsSync(join(source, runInfoFile)) && !existsSync(join(source, runFiles.config))) {
    if (!holdsWeights(source))
      throw new MagrpoError(
        'ERR_RUN',
        `Expected a run folder, an adapter (adapter_config.json) or a model (config.json) in ${source} but found none.`,
        { details },
      )
    if (agent === undefined) return [{ name: null, folder: source }]
    throw new MagrpoError('ERR_ARGUMENT', `${source} is not a run: there is no agent to choose.`, { details })
  }
  await refuseNewerRun(source)
  const folder = join(source, weights)
  const entries = await readdir(folder).catch(() => {
    const remedy =
      weights === 'final'
        ? 'the run did not get that far; go on with it: magrpo resume'
        : 'it was not evaluated on held-out items; the weights of its last step are in final'
    throw new MagrpoError('ERR_RUN', `The run folder ${source} has no ${weights}/: ${remedy}.`, { details })
  })
  const names = entries.filter((name) => name !== 'critic' && holdsWeights(join(folder, name))).sort()
  if (agent !== undefined && !names.includes(agent))
    throw new MagrpoError('ERR_ARGUMENT', `Expected one of ${names.join(', ')} as agent but received ${agent}.`, {
      details,
    })
  return names
    .filter((name) => agent === undefined || name === agent)
    .map((name) => ({ name, folder: join(folder, name) }))
}

const holdsWeights = (folder: string) =>
  existsSync(join(folder, 'adapter_config.json')) || existsSync(join(folder, 'config.json'))

async function exportOne(
  folder: string,
  target: string,
  options: ExportOptions,
): Promise<Pick<ExportedWeights, 'kind' | 'base'>> {
  const { as, signal, onDownload, dtype } = options
  const adapter = await readJsonFile(folder, 'adapter_config.json')
  if (adapter === undefined) {
    if (as === 'adapter')
      throw new MagrpoError('ERR_ARGUMENT', `${folder} holds all weights of a model: there is no adapter to export.`, {
        details: { path: folder },
      })
    await withModel(folder, { dtype, signal }, async (model, Policy) => Policy.base(model).save(target))
    return { kind: 'full', base: null }
  }
  const { base, revision } = baseOf(folder, adapter, options)
  if (as !== 'merged') {
    await copyAdapter(folder, target, { ...adapter, base_model_name_or_path: base, revision: revision ?? null })
    return { kind: 'adapter', base }
  }
  await withModel(base, { dtype, revision, signal, onDownload }, async (model, Policy) => {
    const policy = await Policy.fromAdapter(model, folder)
    signal?.throwIfAborted()
    await policy.save(target, { merged: true })
  })
  return { kind: 'merged', base }
}

/** Loads a model on the processor, and frees it with its policies afterwards. */
async function withModel(
  source: string,
  options: LoadOptions,
  work: (model: Model, policies: typeof Policy) => Promise<void>,
): Promise<void> {
  const [{ Model }, { Policy }] = await Promise.all([import('../model/model.ts'), import('../model/policy.ts')])
  const model = await Model.load(source, { ...options, device: 'cpu' })
  try {
    await work(model, Policy)
  } finally {
    await model.dispose()
  }
}

/** What an adapter sits on: as asked for, else as it says itself. */
function baseOf(
  folder: string,
  adapter: Record<string, unknown>,
  options: ExportOptions,
): { base: string; revision?: string } {
  if (options.base !== undefined) {
    const { name, revision } = (!existsSync(options.base) && parseHubName(options.base)) || { name: options.base }
    return { base: name, revision }
  }
  const { base_model_name_or_path: base, revision } = adapter
  if (typeof base === 'string' && base !== '')
    return { base, ...(typeof revision === 'string' && !existsSync(base) && { revision }) }
  const file = join(folder, 'adapter_config.json')
  const field = 'base_model_name_or_path'
  const message = `${file} does not say which base it is for ("${field}"): name it (--base).`
  throw new MagrpoError('ERR_ADAPTER', message, { details: { file, field } })
}

async function copyAdapter(folder: string, target: string, config: Record<string, unknown>): Promise<void> {
  await writing(target, async () => {
    await makeFolder(target)
    await replaceFile(join(target, 'adapter_model.safetensors'), (part) =>
      copyFile(join(folder, 'adapter_model.safetensors'), part),
    )
    await writeFile(join(target, 'adapter_config.json'), `${JSON.stringify(config, null, 2)}\n`)
  })
}
