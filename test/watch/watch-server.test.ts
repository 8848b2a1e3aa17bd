import { appendFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { startWatch, type WatchServer } from '../../lib/watch/watch-server.ts'
import { rejectsWith } from '../support/errors.ts'
import { addSteps, fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

async function served(t: ExecutionContext, steps = 5): Promise<{ server: WatchServer; folder: string; id: string }> {
  const folder = await fakeRun(join(await temporaryFolder(t), 'runs/haiku'), { steps })
  const server = await startWatch({ runs: [join(folder, '..')], port: 0, intervalMs: 10 })
  t.teardown(() => server.close())
  return { server, folder, id: folder }
}

const get = async (server: WatchServer, path: string) => (await fetch(new URL(path, server.url))).json()

/** What a server answers to headers that `fetch` does not allow. */
function statusOf(server: WatchServer, options: { headers?: Record<string, string>; method?: string; path?: string }) {
  return new Promise<number | undefined>((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, path: '/', ...options }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    asked.on('error', reject).end()
  })
}

test('runs, curves, samples and setups', async (t) => {
  const { server, id } = await served(t, 2000)
  const { runs } = (await get(server, '/api/runs')) as { runs: { id: string; done: number }[] }
  t.like(runs[0], { id, done: 2000 })
  const run = encodeURIComponent(id)
  const path = `/api/metrics?run=${run}&points=100&name=reward/mean&name=memory/rss_bytes&name=none`
  const { series } = (await get(server, path)) as { series: Record<string, { step: number[]; low?: number[] }> }
  t.deepEqual(Object.keys(series), ['reward/mean', 'memory/rss_bytes'])
  t.true(series['reward/mean']!.step.length <= 100)
  t.is(series['reward/mean']!.low?.length, series['reward/mean']!.step.length)
  const latest = (await get(server, `/api/samples?run=${run}`)) as { shown: object; rows: object[]; groups: object[] }
  t.deepEqual(latest.shown, { step: 2000, phase: 'train', count: 1 })
  t.is(latest.groups.length, 50)
  t.like(latest.rows[0], { step: 2000 })
  t.like(await get(server, `/api/samples?run=${run}&step=1960&phase=train`), { shown: { step: 1960 } })
  t.like(await get(server, `/api/setup?run=${run}`), { environment: { magrpo: '0.1.0' }, result: null })
  t.is((await fetch(new URL('/api/metrics?run=../../etc', server.url))).status, 404)
})

test('the page loads its own files and nothing else', async (t) => {
  const { server } = await served(t)
  const page = await fetch(server.url)
  t.is(page.headers.get('content-type'), 'text/html; charset=utf-8')
  const policy = page.headers.get('content-security-policy') ?? ''
  for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"])
    t.true(policy.includes(rule), rule)
  const html = await page.text()
  const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((match) => match[1]!)
  t.true(files.length >= 4)
  t.notRegex(html, /https?:/)
  const wanted = new Set(files)
  for (const file of wanted) {
    const response = await fetch(new URL(file, server.url))
    t.is(response.status, 200, file)
    const text = await response.text()
    for (const match of text.matchAll(/from '\.\/([\w.-]+)'/g)) wanted.add(`/page/${match[1]}`)
  }
  for (const path of ['/page/../watch-server.ts', '/page/', '/package.json', '/constructor'])
    t.is(await statusOf(server, { path }), 404, path)
})

test('only names of the loopback are answered, and only questions', async (t) => {
  const { server } = await served(t)
  for (const host of ['127.0.0.1', `localhost:${server.port}`, '[::1]:80'])
    t.is(await statusOf(server, { headers: { host } }), 200, host)
  for (const host of [
    'evil.example',
    `evil.example:${server.port}`,
    '127.0.0.1.evil.example',
    'localhost@evil.example',
  ])
    t.is(await statusOf(server, { headers: { host } }), 403, host)
  t.is(await statusOf(server, { headers: { 'sec-fetch-site': 'cross-site' }, path: '/api/runs' }), 403)
  const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  t.is(await statusOf(server, { headers: link }), 200)
  t.is(await statusOf(server, { method: 'POST' }), 405)
})

test('changes arrive as events, and a browser that goes away is forgotten', async (t) => {
  const { server, folder, id } = await served(t)
  const controller = new AbortController()
  const response = await fetch(new URL('/api/events', server.url), { signal: controller.signal })
  t.is(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  t.is(server.listeners, 1)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const until = async (pattern: RegExp) => {
    while (!pattern.test(text)) text += (await reader.read()).value ?? ''
  }
  await until(/event: runs\ndata: .*"done":5/)
  await addSteps(folder, 6, 7)
  await until(/event: changed\ndata: .*"done":7/)
  await appendFile(join(folder, 'metrics.jsonl'), 'broken\n')
  await until(/line 8 is not readable/)
  await fakeRun(join(folder, '../later'), { name: 'later' })
  await until(/"name":"later"/)
  t.true(text.includes(id))
  controller.abort()
  while (server.listeners > 0) await delay(5)
  t.is(server.listeners, 0)
})

test('a port that is taken is an error with a code', async (t) => {
  const { server } = await served(t)
  const error = await rejectsWith(
    t,
    () => startWatch({ port: server.port }),
    'ERR_PORT',
    `Port ${server.port} of 127.0.0.1 is taken`,
    '--port',
  )
  t.deepEqual(error.details, { port: server.port })
})

test('closing ends open connections', async (t) => {
  const { server } = await served(t)
  const response = await fetch(new URL('/api/events', server.url))
  await server.close()
  await t.notThrowsAsync(async () => {
    await response.text().catch(() => '')
  })
  await t.throwsAsync(fetch(server.url))
})
