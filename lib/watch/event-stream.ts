import type { ServerResponse } from 'node:http'

/** How often an idle connection is told that it is alive, so that one whose browser is gone is noticed. */
const heartbeatMs = 15_000
/** Bytes that may wait for a slow browser before it is let go; it connects again by itself. */
const maxWaiting = 4 << 20

/** Browsers that listen for server-sent events. */
export class EventStream {
  readonly #listeners = new Set<ServerResponse>()
  readonly #onCount: (count: number) => void
  #heartbeat: NodeJS.Timeout | undefined

  /** @param onCount called with the number of listeners whenever it changes */
  constructor(onCount: (count: number) => void) {
    this.#onCount = onCount
  }

  get count(): number {
    return this.#listeners.size
  }

  /** Takes a connection and sends it a first event; it is let go when the browser closes it. */
  add(response: ServerResponse, event: string, data: unknown): void {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
    response.write(`retry: 1000\n\n${encode(event, data)}`)
    this.#listeners.add(response)
    response.once('close', () => this.#remove(response))
    response.on('error', () => this.#remove(response))
    this.#heartbeat ??= setInterval(() => this.#write(': alive\n\n'), heartbeatMs).unref()
    this.#onCount(this.count)
  }

  /** Sends an event to all listeners. */
  send(event: string, data: unknown): void {
    this.#write(encode(event, data))
  }

  /** Ends all connections. */
  close(): void {
    for (const response of this.#listeners) response.end()
  }

  #write(text: string): void {
    for (const response of this.#listeners) {
      if (response.writableLength > maxWaiting) response.destroy()
      else response.write(text)
    }
  }

  #remove(response: ServerResponse): void {
    if (!this.#listeners.delete(response)) return
    if (this.count === 0) {
      clearInterval(this.#heartbeat)
      this.#heartbeat = undefined
    }
    this.#onCount(this.count)
  }
}

function encode(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
