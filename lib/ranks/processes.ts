/** Starts the ranks of a run on this machine, for those who have no launcher: `--processes N`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'

/** So long the others may take to end by themselves after one has. */
const patienceMs = 15_000

/**
 * Runs this program again, as so many ranks, and resolves with the exit code for all of them: that of the first rank that failed.
 *
 * Rank 0 has this process's terminal; lines that the others write to standard error go there with their rank before them, and their
 * standard output is dropped. Signals are handed on. When one ends badly the others are told, and ended if they do not end by themselves.
 *
 * @param args of the program, without those that asked for processes
 */
export async function runProcesses(count: number, args: readonly string[]): Promise<number> {
  const port = await freePort()
  const threads = process.env.OMP_NUM_THREADS ?? `${Math.max(1, Math.floor(availableParallelism() / count))}`
  const ranks = Array.from({ length: count }, (_, rank) => {
    const place = {
      RANK: rank,
      LOCAL_RANK: rank,
      WORLD_SIZE: count,
      LOCAL_WORLD_SIZE: count,
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: port,
    }
    const texts = Object.fromEntries(Object.entries(place).map(([name, value]) => [name, String(value)]))
    const env = { ...process.env, ...texts, OMP_NUM_THREADS: threads }
    const stdio =
      rank === 0 ? (['inherit', 'inherit', 'inherit', 'ipc'] as const) : (['ignore', 'ignore', 'pipe', 'ipc'] as const)
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], { env, stdio: [...stdio] })
    // A rank that has gone takes no messages.
    child.on('error', () => {})
    if (child.stderr !== null)
      createInterface(child.stderr).on('line', (line) => process.stderr.write(`[rank ${rank}] ${line}\n`))
    return child
  })
  const stopForwarding = forwardSignals(ranks)
  let first: number | undefined
  let timer: NodeJS.Timeout | undefined
  await Promise.all(
    ranks.map(async (child, rank) => {
      const { code, signal } = await endOf(child)
      if (code === 0) return
      first ??= code ?? 1
      // A rank that ends by itself has told the others. Of one that is killed nobody else may speak: they may have ended already.
      if (signal !== null && timer === undefined) {
        process.stderr.write(`magrpo: rank ${rank} was ended by ${signal}\n`)
        tell(ranks, rank, `it was ended by ${signal}`)
      }
      timer ??= setTimeout(() => {
        for (const other of ranks) other.kill('SIGKILL')
      }, patienceMs)
    }),
  )
  clearTimeout(timer)
  stopForwarding()
  return first ?? 0
}

function tell(ranks: readonly ChildProcess[], lost: number, why: string): void {
  for (const other of ranks) if (other.connected) other.send({ lost, why }, () => {})
}

function endOf(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: 1, signal: null }))
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
}

/** Ctrl-C at a terminal reaches all processes; SIGTERM, and a SIGINT that was sent to this process alone, do not. */
function forwardSignals(ranks: readonly ChildProcess[]): () => void {
  const forward = (signal: NodeJS.Signals) => {
    if (signal === 'SIGINT' && process.stdin.isTTY) return
    for (const rank of ranks) rank.kill(signal)
  }
  process.on('SIGINT', forward).on('SIGTERM', forward)
  return () => process.off('SIGINT', forward).off('SIGTERM', forward)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
