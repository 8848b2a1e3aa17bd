// A trained team behind HTTP: every agent answers at once, and each line of the response is one agent's new text as it comes.
//
//   npx tsx examples/http-service.ts [port]
//   curl -N 'http://127.0.0.1:8080/?prompt=Once+upon+a+time'
//
// A client that goes away ends its generation; Ctrl-C lets nobody in, waits for who is being served, and frees everything.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type GenerateRequest, generateBatch, Model, Team, type TokenEvent } from 'magrpo'

const model = await Model.load('builtin:mini-code')
// After a training: Team.of with Policy.fromAdapter(model, 'runs/NAME/final/AGENT') for each agent.
const team = await Team.adapters(model, ['aux', 'main'])

const server = createServer(async (request, response) => {
  const prompt = new URL(request.url ?? '/', 'http://localhost').searchParams.get('prompt')
  if (!prompt) return void response.writeHead(400).end('Expected ?prompt=TEXT\n')
  const gone = new AbortController()
  response.on('close', () => gone.abort()) // also after a normal end, when it does nothing any more
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const write = (value: object) => response.write(`${JSON.stringify(value)}\n`)

  // All agents in one batch. Tokens come many agents at a time; a tokenizer's stream holds back half characters.
  const seed = Math.floor(Math.random() * 2 ** 32)
  const requests = team.agents.map(
    ({ policy }, agent): GenerateRequest => ({
      policy,
      prompt,
      count: 1,
      stream: { seed, step: 0, agent, prompt: 0, sample: 0 },
    }),
  )
  const ids: number[][] = team.agents.map(() => [])
  const sent = team.agents.map(() => 0)
  const onTokens = (events: TokenEvent[]) => {
    for (const { request: agent, ids: more } of events) {
      ids[agent]!.push(...more)
      const text = model.tokenizer!.decode(ids[agent]!)
      if (text.endsWith('\uFFFD')) continue // half a character: the next token completes it
      write({ agent: team.agents[agent]!.name, text: text.slice(sent[agent]) })
      sent[agent] = text.length
    }
  }
  try {
    const { generations } = await generateBatch(requests, { maxNewTokens: 40 }, { signal: gone.signal, onTokens })
    for (const [agent, { samples }] of generations.entries())
      write({ agent: team.agents[agent]!.name, finish: samples[0]!.finish })
  } catch (error) {
    if (!gone.signal.aborted) write({ error: (error as Error).message })
  }
  response.end()
})

server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1')
await once(server, 'listening')
console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
await once(process, 'SIGINT')
await new Promise((resolve) => server.close(resolve))
await team.dispose()
await model.dispose()
