/** Models and adapters of the hub: from the standard cache, else downloaded into it. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expectText } from '../base/arguments.ts'
import { MagrpoError } from '../base/errors.ts'
import { readJsonFile } from '../base/read-json.ts'
import { resolve } from '../base/validate.ts'
import { hubAccess, hubError, isOffline, type Repository } from '../hub/access.ts'
import { cachedCommit, isCommit, isKnownAbsent, markAbsent, snapshotFolder, writeRef } from '../hub/cache.ts'
import { fetchFiles, type HubListing, listFiles } from '../hub/download.ts'
import { withRepositoryLock } from '../hub/lock.ts'
import { parseHubName } from '../hub/names.ts'
import { readAdapter } from './adapter.ts'
import { projectionNames } from './architecture.ts'
import { parseModelConfig } from './config.ts'
import { type DownloadOptions, downloadSection } from './download-options.ts'
import { companionFiles } from './names.ts'
import { shardsOf } from './safetensors.ts'

/** A model or adapter in the cache. */
export interface PulledModel {
  /** `organisation/name`. */
  name: string
  /** As it was asked for. */
  revision: string
  /** The commit that the files are of. */
  commit: string
  /** Where they are; `Model.load` takes it, or the name. */
  folder: string
  kind: 'model' | 'adapter'
  /** Paths below `folder`, with their sizes in bytes. */
  files: { path: string; size: number }[]
  /** Bytes that had to be fetched; 0 if all of it was there. */
  downloadedBytes: number
}

const single = 'model.safetensors'
const index = 'model.safetensors.index.json'
const adapterConfig = 'adapter_config.json'
const adapterWeights = 'adapter_model.safetensors'

/**
 * The folder and commit of a model or adapter: from the cache if it is there as a whole, without a question to the hub, else
 * as {@link pullModel}.
 */
export async function hubFolder(
  name: string,
  kind: 'model' | 'adapter',
  options: DownloadOptions = {},
): Promise<{ folder: string; commit: string }> {
  const { revision = 'main' } = options
  const repository: Repository = { type: 'model', name }
  const commit = await cachedCommit(repository, revision)
  if (commit !== undefined) {
    const folder = snapshotFolder(repository, commit)
    if (await isWhole(repository, commit, kind)) return { folder, commit }
    // Whether there is a tokenizer, only the hub could say; ids work without.
    if (isOffline() && (await hasWeights(folder, kind))) return { folder, commit }
  }
  return pullModel(name, options)
}

/** What the cache has of a revision, if that is all of it. */
async function cachedModel(repository: Repository, revision: string): Promise<PulledModel | undefined> {
  const commit = await cachedCommit(repository, revision)
  if (commit === undefined) return undefined
  const folder = snapshotFolder(repository, commit)
  for (const kind of ['model', 'adapter'] as const) {
    if (!(await isWhole(repository, commit, kind))) continue
    const files = readdirSync(folder)
      .sort()
      .map((path) => ({ path, size: statSync(join(folder, path)).size }))
    return { name: repository.name, revision, commit, folder, kind, files, downloadedBytes: 0 }
  }
  return undefined
}

async function isWhole(repository: Repository, commit: string, kind: 'model' | 'adapter'): Promise<boolean> {
  const folder = snapshotFolder(repository, commit)
  if (!(await hasWeights(folder, kind))) return false
  if (kind === 'adapter' || existsSync(join(folder, 'tokenizer.json'))) return true
  return isKnownAbsent(repository, commit, 'tokenizer.json')
}

async function hasWeights(folder: string, kind: 'model' | 'adapter'): Promise<boolean> {
  const has = (path: string) => existsSync(join(folder, path))
  if (kind === 'adapter') return has(adapterConfig) && has(adapterWeights)
  if (!has('config.json')) return false
  return has(single) || (has(index) && (await shardsOf(folder)).every(has))
}

/**
 * Downloads a model, or a PEFT adapter, into the standard Hugging Face cache, as far as it is not there: configuration, safetensors
 * and what the tokenizer needs, nothing else. The hub is asked which commit the revision is, so a branch that moved is followed.
 *
 * An interrupted download goes on where it stopped, files are used only when their checksums fit, several processes may pull the same,
 * and Python's tools find what was downloaded, as this finds what they did. `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE` and
 * `HF_HUB_OFFLINE` are obeyed; offline, what the cache has as a whole is the answer.
 *
 * ```ts
 * const { folder } = await pullModel('Qwen/Qwen3-0.6B', { onDownload: (event) => console.error(event) })
 * ```
 *
 * @param name `org/name` or `org/name@revision`
 * @throws MagrpoError `ERR_MODEL_NOT_FOUND` if there is no such model or revision, or none in the cache with `HF_HUB_OFFLINE`;
 *   `ERR_MODEL_UNSUPPORTED` if it has no safetensors or an architecture that magrpo does not compute, before the weights are fetched;
 *   `ERR_DOWNLOAD` with `details.reason` (`unreachable`, `unauthorized`, `gated`, `checksum`, `disk_full`, `cannot_write`);
 *   `ERR_ARGUMENT` for what is no name; the signal's reason
 */
export async function pullModel(name: string, options: DownloadOptions = {}): Promise<PulledModel> {
  expectText(name, 'name of pullModel')
  const { onDownload, signal, revision: asked } = resolve(downloadSection, options, 'The options of pullModel')
  const given = parseHubName(name)
  const revision = asked ?? given?.revision ?? 'main'
  if (given === null || parseHubName(`${given.name}@${revision}`) === null)
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `Expected org/name or org/name@revision but received ${JSON.stringify(name)}${options.revision ? ` with revision ${JSON.stringify(revision)}` : ''}.`,
    )
  const repository: Repository = { type: 'model', name: given.name }
  const cached = isOffline() ? await cachedModel(repository, revision) : undefined
  if (cached !== undefined) return cached
  const access = await hubAccess(repository, `revision ${revision} is not in the cache as a whole`, signal)
  onDownload?.({ kind: 'lookup', repository: given.name, revision, hub: access.url })
  const onWaiting = (pid: number) => onDownload?.({ kind: 'waiting', repository: given.name, pid })
  return withRepositoryLock(repository, { signal, onWaiting }, async () => {
    const listing = await listFiles(access, revision)
    const { commit, files } = listing
    const folder = snapshotFolder(repository, commit)
    const kind = files.has('config.json') || !files.has(adapterConfig) ? 'model' : 'adapter'
    // The small files that decide whether the large ones are of any use come first.
    const heads = (
      kind === 'adapter' ? [adapterConfig] : ['config.json', ...(files.has(single) ? [] : [index])]
    ).filter((path) => files.has(path))
    checkWeights(repository, listing, kind)
    await fetchFiles(access, listing, heads, { signal })
    if (kind === 'adapter') await readAdapter(folder, projectionNames())
    else parseModelConfig(await readJsonFile(folder, 'config.json'), join(folder, 'config.json'))
    const weights = kind === 'adapter' ? [adapterWeights] : files.has(single) ? [single] : await shardsOf(folder)
    const lost = weights.find((path) => !files.has(path))
    if (lost !== undefined) throw hubError(repository, 'unusable', `its ${index} names ${lost}, which it does not have`)
    const wanted = [
      ...heads,
      ...(kind === 'adapter' ? [] : companionFiles.filter((path) => files.has(path))),
      ...weights,
    ]
    const downloadedBytes = await fetchFiles(access, listing, wanted, { signal, onEvent: onDownload })
    if (kind === 'model' && !files.has('tokenizer.json')) await markAbsent(repository, commit, 'tokenizer.json')
    if (!isCommit(revision)) await writeRef(repository, revision, commit)
    const sizes = wanted.map((path) => ({ path, size: files.get(path)!.size }))
    return { name: given.name, revision, commit, folder, kind, files: sizes, downloadedBytes }
  })
}

function checkWeights(repository: Repository, { files }: HubListing, kind: 'model' | 'adapter'): void {
  const hasAny = kind === 'adapter' ? files.has(adapterWeights) : files.has(single) || files.has(index)
  if (hasAny && (kind === 'adapter' || files.has('config.json'))) return
  const names = [...files.keys()].filter((path) => /\.(safetensors|bin|gguf|pt|pth|onnx|h5|msgpack)$/.test(path))
  const has = names.length === 0 ? 'no weights at all' : names.slice(0, 5).join(', ')
  const expected = kind === 'adapter' ? adapterWeights : `config.json with ${single} or ${index}`
  throw hubError(
    repository,
    'unusable',
    `expected ${expected} but it has ${has}; convert it (in Python: AutoModelForCausalLM.from_pretrained(name).save_pretrained(folder))`,
  )
}
