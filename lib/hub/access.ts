/** How the hub is reached: what the environment says, in the words of all Hugging Face tools, and requests whose failures have a code. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type ErrorCode, MagrpoError } from '../base/errors.ts'
import { readFile } from '../base/read-files.ts'

/** A repository of the hub. */
export interface Repository {
  type: 'model' | 'dataset'
  /** `organisation/name`. */
  name: string
}

/** Why something of the hub cannot be had; `details.reason` of the errors. */
export type HubFailure =
  | 'offline' // HF_HUB_OFFLINE forbids downloads
  | 'unreachable' // no connection, or the hub is in trouble
  | 'unauthorized' // the hub wants a token, or another one
  | 'gated' // the owner asks people to accept terms
  | 'not_found'
  | 'checksum' // what came is not what the hub has listed
  | 'disk_full'
  | 'cannot_write'
  | 'unusable' // it is there, but has not what is needed

const modelCodes: Partial<Record<HubFailure, ErrorCode>> = {
  offline: 'ERR_MODEL_NOT_FOUND',
  not_found: 'ERR_MODEL_NOT_FOUND',
  unusable: 'ERR_MODEL_UNSUPPORTED',
}

/** The error of a repository that cannot be had; `what` completes "Model org/name of the hub: ...". */
export function hubError(repository: Repository, reason: HubFailure, what: string, cause?: unknown): MagrpoError {
  const { type, name } = repository
  const code = type === 'dataset' ? 'ERR_DATA' : (modelCodes[reason] ?? 'ERR_DOWNLOAD')
  const title = type === 'dataset' ? 'Data set' : 'Model'
  return new MagrpoError(code, `${title} ${name} of the hub: ${what}.`, {
    details: { repository: name, reason },
    cause,
  })
}

/**
 * Folder of the standard cache: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, or
 * `~/.cache/huggingface/hub`, the first that is set.
 */
export function hubCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return expanded(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE) ?? join(hubHome(env), 'hub')
}

function hubHome(env: NodeJS.ProcessEnv): string {
  return expanded(env.HF_HOME) ?? join(expanded(env.XDG_CACHE_HOME) ?? join(homedir(), '.cache'), 'huggingface')
}

function expanded(path: string | undefined): string | undefined {
  return path ? path.replace(/^~(?=\/|$)/, homedir()) : undefined
}

/** Whether `HF_HUB_OFFLINE` forbids downloads. */
export function isOffline(env: NodeJS.ProcessEnv = process.env): boolean {
  return isTrue(env.HF_HUB_OFFLINE)
}

const isTrue = (text: string | undefined) => /^(1|true|yes|on)$/i.test(text ?? '')

/** The token of `HF_TOKEN`, else of the file that `huggingface-cli login` wrote (`HF_TOKEN_PATH`, `HF_HOME/token`). */
async function hubToken(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined
  const given = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN)?.trim()
  if (given) return given
  const file = expanded(env.HF_TOKEN_PATH) ?? join(hubHome(env), 'token')
  return (await readFile(file, 'utf8').catch(() => '')).trim() || undefined
}

/** A way to the hub for one repository. */
export interface HubAccess {
  repository: Repository
  /** Without a slash at the end; `HF_ENDPOINT` names another hub than the public one. */
  url: string
  /** As `fetch`, with the token where it is the hub that is asked; rejects with {@link hubError} unless the answer is of use. */
  fetch: typeof fetch
}

/** Opens a way to the hub. @throws MagrpoError if `HF_HUB_OFFLINE` forbids it; `what` says what is missing then */
export async function hubAccess(repository: Repository, what: string, signal?: AbortSignal): Promise<HubAccess> {
  signal?.throwIfAborted()
  if (isOffline()) throw hubError(repository, 'offline', `${what}, and HF_HUB_OFFLINE forbids downloads`)
  const { HUB_URL } = await import('@huggingface/hub')
  const url = process.env.HF_ENDPOINT?.replace(/\/+$/, '') || HUB_URL
  const token = await hubToken()
  const request: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers)
    // Sizes and ranges are those of the file itself.
    headers.set('accept-encoding', 'identity')
    headers.set('user-agent', 'magrpo')
    // A redirect to another host goes without the token: fetch drops it there.
    if (token && String(input).startsWith(`${url}/`)) headers.set('authorization', `Bearer ${token}`)
    let response: Response
    try {
      response = await fetch(input, { ...init, headers, ...(signal && { signal }) })
    } catch (cause) {
      signal?.throwIfAborted()
      const remedy = 'give the path of a local copy if the hub cannot be reached from here'
      throw hubError(
        repository,
        'unreachable',
        `it cannot be downloaded, ${url} does not answer: ${causeOf(cause)}; ${remedy}`,
        cause,
      )
    }
    if (response.ok || response.status === 416) return response
    const error = refusal(repository, url, response, token !== undefined)
    await response.body?.cancel()
    throw error
  }
  return { repository, url, fetch: request }
}

function refusal(repository: Repository, url: string, response: Response, hasToken: boolean): MagrpoError {
  const { status, headers } = response
  const kind = repository.type === 'dataset' ? 'data set' : 'model'
  const said = headers.get('x-error-message')
  const answer = `it cannot be downloaded, the hub answers ${status}${said ? ` (${said.replace(/\.$/, '')})` : ''}`
  if ((status === 401 || status === 403) && headers.get('x-error-code') === 'GatedRepo')
    return hubError(
      repository,
      'gated',
      `${answer}; accept its terms at ${url}/${repository.name} and set HF_TOKEN to a token of the same account`,
    )
  if (status === 401 || status === 403) {
    const which = hasToken
      ? 'the token that was sent may not read it: set HF_TOKEN to one that may'
      : 'it may be private: set HF_TOKEN to a token that may read it'
    return hubError(
      repository,
      'unauthorized',
      `${answer}; the hub answers so for names it does not know as well; ${which}`,
    )
  }
  if (status === 404) {
    const revision = revisionOf(response.url) ?? 'main'
    return hubError(repository, 'not_found', `${answer}; there is no such ${kind} or revision (${revision})`)
  }
  return hubError(repository, 'unreachable', `${answer}; try again later, or give the path of a local copy`)
}

function revisionOf(url: string): string | undefined {
  const found = /\/(?:revision|tree|resolve)\/([^/?]+)/.exec(url)?.[1]
  return found && decodeURIComponent(found)
}

/** Message of an error together with that of its cause, which `fetch` hides the reason in. */
export function causeOf(error: unknown): string {
  const { message, cause } = error as Error
  const { message: inner, code } = (cause ?? {}) as NodeJS.ErrnoException
  return inner || code ? `${message} (${inner || code})` : message
}
