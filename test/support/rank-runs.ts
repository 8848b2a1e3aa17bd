/** Runs that several processes train together. */
import { readdirSync, readFileSync } from 'node:fs'
import { type CliOptions, type CliResult, runCli } from './cli.ts'

/** Runs a command as so many ranks of one thread each. */
export function runRanks(processes: number, args: string[], options: CliOptions = {}): Promise<CliResult> {
  const env = { OMP_NUM_THREADS: '1', ...options.env }
  return runCli(processes === 1 ? args : [...args, '--processes', `${processes}`], { ...options, env })
}

/** Process numbers of the ranks of a launcher, by rank; those that are there by now. */
export function ranksBelow(launcher: number): Map<number, number> {
  const ranks = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1]
      if (Number(parent) !== launcher) continue
      const rank = /(?:^|\0)RANK=(\d+)/.exec(readFileSync(`/proc/${name}/environ`, 'latin1'))?.[1]
      if (rank !== undefined) ranks.set(Number(rank), Number(name))
    } catch {
      // It has just ended.
    }
  }
  return ranks
}

/**
 * Runs a command as ranks that a launcher would have started: the environment says where each stands.
 *
 * @param optionsOf of one rank, before those of all
 */
export function launchRanks(
  size: number,
  argsOf: (rank: number) => string[],
  options: CliOptions = {},
  optionsOf: (rank: number) => CliOptions = () => ({}),
): Promise<CliResult[]> {
  const port = 20_000 + Math.floor(Math.random() * 10_000)
  return Promise.all(
    Array.from({ length: size }, (_, rank) => {
      const place = { RANK: `${rank}`, WORLD_SIZE: `${size}`, MASTER_ADDR: '127.0.0.1', MASTER_PORT: `${port}` }
      return runCli(argsOf(rank), {
        ...options,
        ...optionsOf(rank),
        env: { OMP_NUM_THREADS: '1', ...place, ...options.env },
      })
    }),
  )
}
