/** Our side of the benchmark: a child process that answers the same requests as `bench/peers/worker.py`, see there. */
import readline from 'node:readline'
import type { generateBatch } from '../../lib/model/generate.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { lastExchanged, lastSumShare, openCase, openedModels, optimizerBytes, tieOf } from './cases.ts'
import { writeGate } from './gate.ts'
import type { CaseRequest } from './request.ts'

const answer = (content: { value?: unknown } | { error: string }) =>
  process.stdout.write(`@@${JSON.stringify(content)}\n`)

async function timed(run: () => Promise<unknown>) {
  const [wall, cpu] = [performance.now(), process.cpuUsage()]
  await run()
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (performance.now() - wall) / 1000, cpuSeconds: (user + system) / 1e6 }
}

let run: (() => Promise<unknown>) | undefined

/** One repetition of the open case. */
function opened(): Promise<unknown> {
  if (run === undefined) throw new Error('Expected a case to be opened before it is run.')
  return run()
}

/** Of a case that decodes: each row's tokens. */
function tokensOf(result: unknown): number[][] {
  const { generations } = result as Awaited<ReturnType<typeof generateBatch>>
  return generations.map(({ samples }) => [...samples[0]!.ids])
}

async function serve(request: CaseRequest): Promise<unknown> {
  switch (request.call) {
    case 'gate':
      return writeGate(request)
    case 'open':
      run = await openCase(request)
      return undefined
    case 'run':
      return timed(opened)
    case 'tokens':
      return tokensOf(await opened())
    case 'tie':
      return tieOf(request)
    case 'weightBytes':
      return openedModels()[0]!.weightBytes
    case 'exchanged':
      return lastExchanged()
    case 'optimizerBytes':
      return optimizerBytes()
    case 'resident':
      return process.memoryUsage.rss()
    case 'sumShare':
      return lastSumShare()
    case 'peak':
      return process.resourceUsage().maxRSS * 1024
    case 'versions':
      return { ...loadAddon().info(), cuda: undefined }
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    answer({ value: await serve(JSON.parse(line) as CaseRequest) })
  } catch (error) {
    answer({ error: error instanceof Error ? error.message : String(error) })
  }
}
