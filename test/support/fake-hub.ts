/**
 * A hub on this machine: the endpoints that `@huggingface/hub` and Python's `huggingface_hub` ask, with large files on a host of
 * their own that is redirected to, as the public hub has it.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { temporaryFolder } from './temporary-folder.ts'

/** Commit of the only revision, of the branch `main` and the tag `v1`. */
export const commit = 'c0ffee'.padEnd(40, '0')

/** What the hub has and how it behaves; tests change it as they go. */
export interface FakeHub {
  url: string
  /** The empty cache that the environment names while the test runs. */
  cache: string
  /** Files of `org/<name>`, by their paths. */
  files: Record<string, Buffer>
  commit: string
  /** `METHOD /path`, and for the host of large files `CDN /etag range`. */
  requests: string[]
  /** Headers of the last request to the host of large files. */
  cdnHeaders: IncomingMessage['headers']
  /** Connections break off after so many bytes of a large file. */
  breakAfter?: number
  /** Large files stop there and wait for the client to go. */
  stallAfter?: number
  /** Large files are sent whole whatever range is asked for. */
  ignoresRange?: boolean
  /** Large files come with their last byte changed. */
  corrupts?: boolean
  /** Only this token is let in. */
  token?: string
  isGated?: boolean
  /** Sizes that are listed instead of the true ones. */
  sizes?: Record<string, number>
  environment: Record<string, string>
}

/** Checksum that the hub lists for a file: SHA-256 of large ones (LFS), git's SHA-1 of the others. */
export function etagOf(path: string, bytes: Buffer): string {
  if (isLarge(path)) return createHash('sha256').update(bytes).digest('hex')
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
}

const isLarge = (path: string) => /\.(safetensors|parquet|bin)$/.test(path)

/** All files of a folder. */
export function filesOf(folder: string): Record<string, Buffer> {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]))
}

/** Starts a hub with one repository; the environment points at it and at an empty cache until the test ends. */
export async function startHub(
  t: ExecutionContext,
  repository: { type: 'model' | 'dataset'; name: string },
  files: Record<string, Buffer>,
): Promise<FakeHub> {
  const hub: FakeHub = {
    url: '',
    cache: await temporaryFolder(t),
    files,
    commit,
    requests: [],
    cdnHeaders: {},
    environment: {},
  }
  const cdn = await listen(t, (request, response) => sendLarge(hub, request, response))
  hub.url = await listen(t, (request, response) => answer(hub, repository, cdn, request, response))
  hub.environment = { HF_ENDPOINT: hub.url, HF_HUB_CACHE: hub.cache, HF_HOME: hub.cache }
  setEnvironment(t, { HF_TOKEN: '', HF_HUB_OFFLINE: '', ...hub.environment })
  return hub
}

/** Sets variables of the environment until the test ends; tests that do run one after the other. */
export function setEnvironment(t: ExecutionContext, values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name]
    process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

async function listen(t: ExecutionContext, handler: Handler): Promise<string> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function answer(
  hub: FakeHub,
  { type, name }: { type: string; name: string },
  cdn: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = decodeURIComponent((request.url ?? '').split('?')[0]!)
  hub.requests.push(`${request.method} ${url}`)
  const refuse = (status: number, code: string, message: string) =>
    response.writeHead(status, { 'x-error-code': code, 'x-error-message': message }).end(`{"error":"${message}"}`)
  const json = (value: unknown) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value))
  if (hub.token && request.headers.authorization !== `Bearer ${hub.token}`)
    return void refuse(401, '', 'Invalid credentials.')
  const api = `/api/${type}s/${name}`
  const prefix = `/${type === 'dataset' ? 'datasets/' : ''}${name}/resolve/`
  const revision = url.startsWith(`${api}/revision/`) ? url.slice(`${api}/revision/`.length) : undefined
  const [, wanted, path = ''] = url.startsWith(prefix) ? (/^([^/]+)\/(.+)$/.exec(url.slice(prefix.length)) ?? []) : []
  if (!url.startsWith(api) && wanted === undefined) return void refuse(404, 'RepoNotFound', 'Repository not found')
  if (![hub.commit, 'main', 'v1', undefined].includes(revision ?? wanted))
    return void refuse(404, 'RevisionNotFound', `Invalid rev id: ${revision ?? wanted}`)
  if (revision !== undefined) {
    const siblings = Object.keys(hub.files).map((rfilename) => ({ rfilename }))
    const rest = { private: false, downloads: 0, likes: 0, gated: hub.isGated ? 'manual' : false, tags: [], siblings }
    return void json({ _id: '1', id: name, sha: hub.commit, lastModified: '2025-01-01T00:00:00.000Z', ...rest })
  }
  if (url === `${api}/tree/${hub.commit}`)
    return void json(
      Object.entries(hub.files).map(([file, bytes]) => {
        const size = hub.sizes?.[file] ?? bytes.length
        const oid = etagOf(file, bytes)
        return {
          type: 'file',
          path: file,
          size,
          ...(isLarge(file) ? { oid: '0'.repeat(40), lfs: { oid, size, pointerSize: 130 } } : { oid }),
        }
      }),
    )
  const bytes = hub.files[path]
  if (bytes === undefined) return void refuse(404, 'EntryNotFound', 'Entry not found')
  if (hub.isGated) return void refuse(403, 'GatedRepo', 'Access to this model is restricted.')
  const etag = `"${etagOf(path, bytes)}"`
  response.setHeader('x-repo-commit', hub.commit)
  if (isLarge(path)) {
    const linked = { 'x-linked-etag': etag, 'x-linked-size': bytes.length, location: `${cdn}/${path}` }
    return void response.writeHead(302, linked).end()
  }
  response.writeHead(200, { etag, 'content-length': bytes.length })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

function sendLarge(hub: FakeHub, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent((request.url ?? '').slice(1))
  hub.requests.push(`CDN ${path}${request.headers.range ? ` ${request.headers.range}` : ''}`)
  hub.cdnHeaders = request.headers
  const whole = Buffer.from(hub.files[path]!)
  if (hub.corrupts) whole[whole.length - 1]! ^= 1
  const range = hub.ignoresRange ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = Number(range?.[1] ?? 0)
  if (start >= whole.length) return void response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end()
  const end = range?.[2] ? Number(range[2]) + 1 : whole.length
  const piece = whole.subarray(start, end)
  const common = { 'content-length': piece.length, etag: `"${etagOf(path, whole)}"`, 'accept-ranges': 'bytes' }
  if (range) response.writeHead(206, { ...common, 'content-range': `bytes ${start}-${end - 1}/${whole.length}` })
  else response.writeHead(200, common)
  if (request.method === 'HEAD') return void response.end()
  if (hub.breakAfter !== undefined && piece.length > hub.breakAfter)
    return void response.write(piece.subarray(0, hub.breakAfter), () => setTimeout(() => response.destroy(), 20))
  if (hub.stallAfter !== undefined) return void response.write(piece.subarray(0, hub.stallAfter))
  response.end(piece)
}
