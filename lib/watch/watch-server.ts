import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { integer, list, milliseconds, text } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import { EventStream } from './event-stream.ts'
import { RunList } from './run-list.ts'
import { isForLoopback, securityHeaders } from './security.ts'

/** What {@link startWatch} takes. */
export interface WatchOptions {
  /** Run folders, or folders of runs; those that appear later are found, too. Defaults to `runs`. */
  runs?: readonly string[]
  /** 0 takes any that is free. Defaults to `defaultPort`. */
  port?: number
  /** How often the folders are looked at while a browser listens. Defaults to `1000`. */
  intervalMs?: number
}

/** A server that is up. */
export interface WatchServer {
  /** Address of the page. */
  url: string
  port: number
  /** Browsers that listen for changes. */
  readonly listeners: number
  /** Ends all connections and frees the port. */
  close(): Promise<void>
}

/** Port of the page unless another is asked for. */
const defaultPort = 6288

const watchSection = section({
  runs: list(text()).default(['runs']),
  port: integer({ from: 0, to: 65_535 }).default(defaultPort),
  intervalMs: milliseconds().default(1000),
} satisfies FieldsOf<WatchOptions>)

const scripts = ['watch', 'chart', 'details', 'dom', 'hover', 'panels', 'samples', 'theme'].map((name) => `${name}.js`)

/** Files of the page by their address. */
const pages: Readonly<Record<string, string>> = {
  '/': 'index.html',
  ...Object.fromEntries(['watch.css', 'charts.css', 'icon.svg', ...scripts].map((name) => [`/page/${name}`, name])),
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Points of a curve where the page asks for no other number, and at most. */
const points = { usual: 300, most: 5000 }
/** Most metrics of one answer. */
const maxNames = 400

/**
 * Serves the live page of runs on 127.0.0.1. Run folders are read, never written.
 *
 * @throws MagrpoError `ERR_PORT` if the port is taken or not allowed
 */
export async function startWatch(options: WatchOptions = {}): Promise<WatchServer> {
  const { runs, port, intervalMs } = resolve(watchSection, options, 'The options of startWatch')
  const list = new RunList(runs)
  await list.refresh()
  const watch = new Watch(list, intervalMs)
  const server = createServer((request, response) => void watch.answer(request, response))
  await listen(server, port)
  const { port: actual } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${actual}/`,
    port: actual,
    get listeners() {
      return watch.events.count
    },
    close: () => {
      watch.close()
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reasons: Record<string, string> = {
        EADDRINUSE: 'is taken by another program (another magrpo watch?)',
        EACCES: 'may not be used by this user',
      }
      const message = `Port ${port} of 127.0.0.1 ${reasons[cause.code ?? ''] ?? `cannot be used: ${cause.message}`}. Choose another with --port, or 0 for any that is free.`
      reject(new MagrpoError('ERR_PORT', message, { details: { port }, cause }))
    })
    server.listen(port, '127.0.0.1', () => resolve())
  })
}

/** Answers requests. */
class Watch {
  readonly events = new EventStream((count) => this.#onListeners(count))
  readonly #list: RunList
  readonly #intervalMs: number
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(list: RunList, intervalMs: number) {
    this.#list = list
    this.#intervalMs = intervalMs
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value)
    try {
      if (!isForLoopback(request)) return refuse(response, 403, 'This page answers to 127.0.0.1 and localhost only.')
      if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'Only GET is answered.')
      const url = new URL(request.url ?? '/', 'http://127.0.0.1')
      const page = Object.hasOwn(pages, url.pathname) ? pages[url.pathname] : undefined
      if (page !== undefined) return await sendPage(response, page)
      if (url.pathname === '/api/events') return await this.#listen(response)
      const data = await this.#data(url)
      if (data === undefined) return refuse(response, 404, 'There is nothing here.')
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(data))
    } catch (error) {
      if (response.headersSent) response.destroy()
      else refuse(response, 500, (error as Error).message)
    }
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.events.close()
  }

  async #data({ pathname, searchParams }: URL): Promise<unknown> {
    if (pathname === '/api/runs') {
      await this.#list.refresh()
      return { runs: this.#summaries() }
    }
    const reader = this.#list.get(searchParams.get('run') ?? '')
    if (reader === undefined) return undefined
    if (pathname === '/api/metrics') {
      const most = Math.min(points.most, Math.max(2, Number(searchParams.get('points')) || points.usual))
      const names = searchParams.getAll('name').slice(0, maxNames)
      return { run: reader.id, series: Object.fromEntries(names.map((name) => [name, reader.series(name, most)])) }
    }
    if (pathname === '/api/samples') {
      const groups = reader.sampleGroups
      const step = searchParams.get('step')
      const phase = searchParams.get('phase')
      const asked = groups.find((group) => String(group.step) === step && group.phase === phase) ?? groups.at(-1)
      const rows = asked === undefined ? [] : await reader.samples(asked.step, asked.phase)
      return { run: reader.id, groups, shown: asked ?? null, rows }
    }
    if (pathname === '/api/setup') return { run: reader.id, ...reader.setup, result: reader.result ?? null }
    return undefined
  }

  async #listen(response: ServerResponse): Promise<void> {
    await this.#list.refresh()
    this.events.add(response, 'runs', { runs: this.#summaries() })
  }

  #summaries(ids?: readonly string[]) {
    const readers = this.#list.readers
    return readers.filter(({ id }) => ids === undefined || ids.includes(id)).map(({ summary }) => summary)
  }

  /** The folders are looked at only while someone listens. */
  #onListeners(count: number): void {
    clearTimeout(this.#timer)
    if (count > 0 && !this.#isClosed) this.#timer = setTimeout(() => void this.#look(), this.#intervalMs)
  }

  async #look(): Promise<void> {
    try {
      const changed = await this.#list.refresh()
      if (changed.length > 0) this.events.send('changed', { runs: this.#summaries(changed) })
    } catch (error) {
      this.events.send('trouble', { message: (error as Error).message })
    }
    this.#onListeners(this.events.count)
  }
}

async function sendPage(response: ServerResponse, name: string): Promise<void> {
  const content = await readFile(new URL(`./page/${name}`, import.meta.url))
  response.writeHead(200, { 'content-type': types[extname(name)] ?? 'application/octet-stream' }).end(content)
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`)
}
