import { spawn } from 'node:child_process'
import { access } from 'node:fs/promises'
import type { Command } from 'commander'
import { Interrupts } from './interrupts.ts'
import { integerFrom } from './option-values.ts'
import { note, printJson, printLine } from './output.ts'

interface WatchCommandOptions {
  port?: number
  open?: boolean
  json?: boolean
}

/** Adds `magrpo watch`: a live page of runs. */
export function addWatchCommand(program: Command): void {
  program
    .command('watch')
    .description('show runs on a live page of this machine')
    .argument('[runs...]', 'run folders, or folders of runs; "runs" by default')
    .option('--port <number>', 'port on 127.0.0.1; 0 takes any that is free', integerFrom(0, 65_535))
    .option('--open', 'also open the page in the browser')
    .option('--json', 'print the address as a JSON line')
    .addHelpText(
      'after',
      `
The page shows runs that are going, finished or dead, and those that begin later. Ctrl-C ends it; training goes on.

Examples:
  magrpo watch
  magrpo watch runs/story-1 runs/story-2 --open`,
    )
    .action(watch)
}

async function watch(runs: string[], { port, open = false, json = false }: WatchCommandOptions): Promise<void> {
  const { startWatch } = await import('../watch/watch-server.ts')
  for (const place of runs)
    await access(place).catch(() => note(`${place} is not there yet; the page shows it as soon as it is`))
  const server = await startWatch({ ...(runs.length > 0 && { runs }), ...(port !== undefined && { port }) })
  const ended = new Promise<void>((resolve) => {
    const interrupts = new Interrupts(() => {
      interrupts.dispose()
      resolve()
    })
  })
  if (json) await printJson({ event: 'listening', url: server.url, port: server.port })
  else await printLine(server.url)
  note('Ctrl-C ends the page')
  if (open) openBrowser(server.url)
  await ended
  await server.close()
}

function openBrowser(url: string): void {
  const commands: Partial<Record<NodeJS.Platform, [string, string[]]>> = {
    darwin: ['open', [url]],
    win32: ['cmd', ['/c', 'start', '', url]],
  }
  const [command, args] = commands[process.platform] ?? ['xdg-open', [url]]
  const child = spawn(command, args, { stdio: 'ignore', detached: true })
  child.on('error', () => note(`no browser could be opened (${command} is missing); open ${url} yourself`))
  child.unref()
}
