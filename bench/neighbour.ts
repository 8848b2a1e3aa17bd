/** A program that keeps one core busy, as a reward in a sandbox does. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Starts it; resolves once it is busy. */
export async function startNeighbour(): Promise<{ end(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("."); for (;;);'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(child.stdout, 'data')
  return {
    end: async () => {
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    },
  }
}
