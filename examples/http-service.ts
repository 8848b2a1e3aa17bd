// A trained team behind HTTP: every agent answers at once, and each line of the response is one agent's new text as it comes.
//
//   npx tsx examples/http-service.ts [port]
//   curl -N 'http://127.0.0.1:8080/?prompt=Once+upon+a+time'
//
// A client that goes away ends its generation; Ctrl-C lets nobody in, waits for who is being served, and frees everything.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type GenerateRequest, generateBatch, Model, StreamDecoder, Team, type TokenEvent } from 'magrpo'

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

  // All agents in one batch; tokens come many agents at a time.
  const seed = Math.floor(Math.random() * 2 ** 32)
  const requests = team.agents.map(
    ({ policy }, agent): GenerateRequest => ({
      policy,
      prompt,
      count: 1,
      stream: { seed, step: 0, agent, prompt: 0, sample: 0 },
    }),
  )
  const decoders = team.agents.map(() => new StreamDecoder(model.tokenizer!)) // whole characters only
  const send = (agent: number, text: string) => text && write({ agent: team.agents[agent]!.name, text })
  const onTokens = (events: TokenEvent[]) => {
    for (const { request: agent, ids } of events) send(agent, decoders[agent]!.push(ids))
  }
  try {
    const { generations } = await generateBatch(requests, { maxNewTokens: 40 }, { signal: gone.signal, onTokens })
    for (const [agent, { samples }] of generations.entries()) {
      send(agent, decoders[agent]!.flush())
      write({ agent: team.agents[agent]!.name, finish: samples[0]!.finish })
    }
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
