import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { Expert } from '../../lib/tasks/code/expert.ts'
import { lastJsonObject } from '../../lib/tasks/code/expert-json.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { codeTask } from '../../lib/tasks/code/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import type { TurnFeedback } from '../../lib/tasks/task/types.ts'
import { rejectsWith } from '../support/errors.ts'

const item: CodeItem = {
  prompt: 'def double(x):\n    """ Twice x. """\n',
  test: 'def check(candidate):\n    assert candidate(2) == 4\n',
  entry_point: 'double',
}
const { signal } = new AbortController()

interface Seen {
  url: string
  authorization: string | undefined
  body: { model: string; messages: { role: string; content: string }[]; temperature: number; max_tokens: number }
}
type Handler = (response: ServerResponse, seen: Seen, count: number) => void

/** A local chat endpoint; `handle` answers the count-th request, counted from 1. */
async function startEndpoint(t: ExecutionContext, handle: Handler): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { url = '', headers } = request
    seen.push({ url, authorization: headers.authorization, body: JSON.parse(body) })
    handle(response, seen.at(-1)!, seen.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, seen }
}

function say(response: ServerResponse, content: string): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content } }] }))
}

const edits = (aux: string, main: string) => JSON.stringify({ aux, main })
const fast = { model: 'expert', backoffMs: 1 }

test('the edits of the answer, and a request as the endpoint expects it', async (t) => {
  process.env.MAGRPO_TEST_EXPERT_KEY = 'secret'
  const { url, seen } = await startEndpoint(t, (response) => say(response, `Here:\n\n${edits('A', 'No changes.')}`))
  const expert = new Expert({ ...fast, url: `${url}/`, keyVariable: 'MAGRPO_TEST_EXPERT_KEY' })
  const answer = await expert.edit(item, 'def double(x):\n    return x', 2, signal)
  t.deepEqual(answer, { edits: { aux: 'A', main: null }, retries: 0 })
  const [{ url: path, authorization, body }] = seen as [Seen]
  t.is(path, '/v1/chat/completions')
  t.is(authorization, 'Bearer secret')
  t.is(body.model, 'expert')
  t.is(body.temperature, 0.3)
  t.is(body.max_tokens, 2048)
  const prompt = body.messages.at(-1)!.content
  t.true(prompt.includes(item.prompt.trim()))
  t.true(prompt.includes('def double(x):\n    return x'))
  t.false(prompt.includes('check(candidate)'), 'tests are not shown')
})

test('a single agent: only main is asked for and needed', async (t) => {
  const { url, seen } = await startEndpoint(t, (response) => say(response, '{"main": "M"}'))
  t.deepEqual((await new Expert({ ...fast, url }).edit(item, '', 1, signal)).edits, { aux: null, main: 'M' })
  t.notRegex(seen[0]!.body.messages.at(-1)!.content, /aux/)
})

test('busy endpoints, broken answers and silence are tried again', async (t) => {
  const { url, seen } = await startEndpoint(t, (response, _seen, count) => {
    if (count === 1) response.writeHead(503).end('busy')
    else if (count === 2) say(response, 'no JSON at all')
    else if (count > 3) say(response, edits('A', 'M')) // the third is never answered
  })
  const expert = new Expert({ ...fast, url, attempts: 4, timeoutMs: 2000 })
  t.deepEqual(await expert.edit(item, '', 2, signal), { edits: { aux: 'A', main: 'M' }, retries: 3 })
  t.is(seen.length, 4)
})

test('after the last attempt there are no edits, and each cause is told once', async (t) => {
  const { url, seen } = await startEndpoint(t, (response) => void response.writeHead(500).end('down'))
  const log: string[] = []
  const expert = new Expert({ ...fast, url, log: (message) => log.push(message) })
  for (let i = 0; i < 2; i++) t.deepEqual(await expert.edit(item, '', 2, signal), { edits: null, retries: 2 })
  t.is(seen.length, 6)
  t.is(log.length, 1)
  t.regex(log[0]!, /status 500: down\. The turn went on without/)
})

test('what cannot get better is not asked twice; an address nobody listens at is', async (t) => {
  const { url, seen } = await startEndpoint(t, (response) => void response.writeHead(401).end('who are you?'))
  const log: string[] = []
  const settings = { ...fast, log: (message: string) => log.push(message) }
  t.deepEqual(await new Expert({ ...settings, url }).edit(item, '', 2, signal), { edits: null, retries: 0 })
  t.is(seen.length, 1)
  const nobody = new Expert({ ...settings, url: 'http://127.0.0.1:9/v1' })
  t.deepEqual(await nobody.edit(item, '', 2, signal), { edits: null, retries: 2 })
  t.regex(log[1]!, /cannot be reached/)
})

test('never more requests under way than allowed', async (t) => {
  let underWay = 0
  let most = 0
  const { url } = await startEndpoint(t, (response) => {
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      say(response, edits('A', 'M'))
    }, 5)
  })
  const expert = new Expert({ ...fast, url, concurrency: 2 })
  const answers = await Promise.all(Array.from({ length: 7 }, () => expert.edit(item, '', 2, signal)))
  t.true(answers.every(({ edits }) => edits?.main === 'M'))
  t.is(most, 2)
})

test('an abort ends a request and a wait, with its reason', async (t) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const { url } = await startEndpoint(t, () => controller.abort(reason))
  const error = await t.throwsAsync(new Expert({ ...fast, url }).edit(item, '', 2, controller.signal))
  t.is(error, reason)
  const later = new AbortController()
  const busy = await startEndpoint(t, (response) => {
    response.writeHead(500).end()
    setTimeout(() => later.abort(reason), 20)
  })
  const waiting = new Expert({ ...fast, url: busy.url, backoffMs: 1e6 }).edit(item, '', 2, later.signal)
  t.is(await t.throwsAsync(waiting), reason)
})

test('settings that cannot be are refused', async (t) => {
  const make = async (options: object) => new Expert({ model: 'm', url: 'http://localhost', ...options })
  await rejectsWith(t, () => make({ url: 'localhost:8000' }), 'ERR_ARGUMENT', 'http or https', 'localhost:8000')
  await rejectsWith(t, () => make({ keyVariable: 'MAGRPO_NO_SUCH_KEY' }), 'ERR_ARGUMENT', 'MAGRPO_NO_SUCH_KEY')
})

test('the last object with the wanted keys counts, whatever stands around it', (t) => {
  const wanted = (value: Record<string, unknown>) => 'main' in value
  const text = 'a { b } {"main": 1} then ```json\n{"main": "}{", "in": {"main": 3}}\n``` and {"other": 2} {"main": '
  t.deepEqual(lastJsonObject(text, wanted), { main: '}{', in: { main: 3 } })
  t.is(lastJsonObject('{ {"x": 1} }', wanted), null)
  t.deepEqual(lastJsonObject('{ "broken: {"main": 2}', wanted), { main: 2 })
})

test('as a transition: each agent reads its own edit; without an expert the turn goes on and is counted', async (t) => {
  const { url } = await startEndpoint(t, (response, _seen, count) => {
    if (count === 1) say(response, edits('def aux(x):\n    return 2 * x', 'no changes'))
    else response.writeHead(500).end()
  })
  const sandbox = await PythonSandbox.start({ workers: 1 })
  t.teardown(() => sandbox.dispose())
  const task = codeTask({ items: [item], sandbox, feedback: 'expert_edits', expert: { ...fast, url } })
  const texts = ['def aux(x):\n    return x\n', 'def double(x):\n    return aux(x)\n']
  const completions = texts.map((text): Completion => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 }))
  const history = [{ prompts: ['first prompt of aux', 'first prompt of main'], completions }]
  const next = () => task.transition!(item, completions, history, { signal }) as Promise<TurnFeedback>
  const { prompts, metrics } = await next()
  t.deepEqual(metrics, { expert_failed: 0, expert_retries: 0 })
  t.regex(prompts[0] as string, /An expert's edit of your function:\n\ndef aux\(x\):\n {4}return 2 \* x/)
  t.notRegex(prompts[1] as string, /2 \* x|expert/)
  t.regex(prompts[1] as string, /first prompt of main[\s\S]*return aux\(x\)/)
  const without = await next()
  t.deepEqual(without.metrics, { expert_failed: 1, expert_retries: 2 })
  t.is(without.prompts.length, 2)
  for (const prompt of without.prompts) t.notRegex(prompt as string, /expert/)
})
