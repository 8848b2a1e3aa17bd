import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

test('magrpo watch prints its address, serves it, and ends on Ctrl-C', async (t) => {
  const folder = await fakeRun(join(await temporaryFolder(t), 'haiku'))
  let page: Promise<string> | undefined
  const { code, stdout, stderr } = await runCli(['watch', folder, join(folder, '../later'), '--port', '0', '--json'], {
    onSpawn: (child) =>
      child.stdout?.on('data', (text: Buffer) => {
        const { url } = JSON.parse(text.toString()) as { url: string }
        page = fetch(new URL('/api/runs', url)).then((response) => response.text())
        // A connection that stays open must not keep the command alive.
        void fetch(new URL('/api/events', url)).then(
          () => child.kill('SIGINT'),
          () => child.kill('SIGKILL'),
        )
      }),
  })
  t.is(code, 0, stderr)
  t.regex(stdout, /^\{"event":"listening","url":"http:\/\/127\.0\.0\.1:\d+\/","port":\d+\}\n$/)
  t.regex(stderr, /later is not there yet/)
  t.true((await page)?.includes('"name":"haiku"'))
})

test('magrpo watch says that a port is taken', async (t) => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const { code, stdout, stderr } = await runCli(['watch', '--port', String(port)])
  t.is(code, 1)
  t.is(stdout, '')
  t.regex(stderr, /^magrpo: Port \d+ of 127\.0\.0\.1 is taken by another program.*--port.*\ncode: ERR_PORT/)
  t.is((await runCli(['watch', '--port', '70000'])).code, 2)
})

test('magrpo report writes a file and prints where', async (t) => {
  const folder = await temporaryFolder(t)
  const run = await fakeRun(join(folder, 'haiku'))
  const out = join(folder, 'out.html')
  const { code, stdout } = await runCli(['report', run, '--out', out])
  t.is(code, 0)
  t.is(stdout, `${out}\n`)
  t.regex(await readFile(out, 'utf8'), /<h1>haiku<\/h1>/)
  const wrong = await runCli(['report', join(folder, 'none')])
  t.is(wrong.code, 1)
  t.regex(wrong.stderr, /code: ERR_RUN/)
})
