import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { outcomeOfRun, writeConfig } from './kill-runs.ts'
import { ranksBelow, runRanks } from './rank-runs.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** Kills a run of two to four ranks so often, on any of them, and goes on with another number; it comes to the bytes of one that was not. */
export async function checkRankKills(t: ExecutionContext, kills: number): Promise<void> {
  const folder = await temporaryFolder(t)
  const args = [...(await writeConfig(folder)), '--set', 'deterministic=true', '--set', 'promptsPerStep=5', '--quiet']
  const one = await runRanks(1, ['train', ...args, '--run-dir', 'one'], { cwd: folder })
  t.is(one.code, 0, one.stderr)
  const whole = outcomeOfRun(join(folder, 'one'))
  let name = 0
  for (let kill = 0; kill < kills; ) {
    const path = join(folder, `run-${name}`)
    const ranks = 2 + (kill % 3)
    const begun = existsSync(join(path, 'run.json'))
    const command = begun ? ['resume', path, '--quiet'] : ['train', ...args, '--run-dir', path]
    const when = Math.random() * 6000
    let victim: number | undefined
    const { code, stderr } = await runRanks(ranks, command, {
      cwd: folder,
      onSpawn: async (child) => {
        await sleep(when)
        const below = [...ranksBelow(child.pid!)]
        const [rank, pid] = below[Math.floor(Math.random() * below.length)] ?? []
        if (pid === undefined) return
        victim = rank
        process.kill(pid, 'SIGKILL')
      },
    })
    if (victim !== undefined) kill++
    t.log(
      `${begun ? 'resumed' : 'begun'} with ${ranks}, rank ${victim} killed after ${when.toFixed(0)} ms: exit code ${code}`,
    )
    if (code !== 0) t.regex(stderr, /is gone|did not come|could not be|ended by|has ended/)
    else t.deepEqual(outcomeOfRun(path), whole, `run ${name++}`)
  }
  const path = join(folder, `run-${name}`)
  const last = await runRanks(
    2,
    existsSync(join(path, 'run.json')) ? ['resume', path, '--quiet'] : ['train', ...args, '--run-dir', path],
    {
      cwd: folder,
    },
  )
  t.is(last.code, 0, last.stderr)
  t.deepEqual(outcomeOfRun(path), whole)
}
