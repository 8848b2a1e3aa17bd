/** llama.cpp's side, by node-llama-cpp: a child process that answers the same requests as `worker.py`, see there. */
import path from 'node:path'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

const [folder] = process.argv.slice(2)
const entry = path.join(folder, 'node_modules/node-llama-cpp/dist/index.js')
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href)

const answer = (content) => process.stdout.write(`@@${JSON.stringify(content)}\n`)

let run

/** Rows that continue a prompt each, greedily, all in one batch. */
async function open({ file, cacheType, prompts, newTokens, threads }) {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: LlamaLogLevel.error })
  const model = await llama.loadModel({ modelPath: file })
  const contextSize = Math.max(...prompts.map((ids) => ids.length)) + newTokens + 8
  const sequences = prompts.length
  const context = await model.createContext({
    contextSize,
    sequences,
    threads,
    batchSize: 512,
    flashAttention: false, // which rounds to float16 on the way, and is no quicker over so few tokens
    experimentalKvCacheKeyType: cacheType,
    experimentalKvCacheValueType: cacheType,
  })
  const rows = prompts.map(() => context.getSequence())
  return () =>
    Promise.all(
      rows.map(async (sequence, row) => {
        await sequence.clearHistory()
        const ids = []
        for await (const token of sequence.evaluate(prompts[row], { temperature: 0, yieldEogToken: true })) {
          ids.push(token)
          if (ids.length === newTokens) break
        }
        return ids
      }),
    )
}

async function timed() {
  const [wall, cpu] = [performance.now(), process.cpuUsage()]
  await run()
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (performance.now() - wall) / 1000, cpuSeconds: (user + system) / 1e6 }
}

async function serve(request) {
  switch (request.call) {
    case 'open':
      run = await open(request)
      return undefined
    case 'tokens':
      return run()
    case 'run':
      return timed()
    default:
      throw new Error(`Expected a known request but received ${request.call}.`)
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    answer({ value: await serve(JSON.parse(line)) })
  } catch (error) {
    answer({ error: String(error?.message ?? error) })
  }
}
process.exit(0)
