/** The live page in a real browser. */
import { spawnSync } from 'node:child_process'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { startWatch, type WatchServer } from '../../lib/watch/watch-server.ts'
import { openBrowser } from '../support/chromium.ts'
import { fakeSample } from '../support/fake-reports.ts'
import { addSteps, fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

interface Opened {
  page: Page
  server: WatchServer
  runs: string
  /** Everything the page asked for. */
  requests: string[]
  /** Errors and refused loads. */
  problems: string[]
}

/** A page that watches a folder of runs made by `prepare`; undefined without a browser. */
async function watching(t: ExecutionContext, prepare: (runs: string) => Promise<unknown>): Promise<Opened | undefined> {
  const browser = await openBrowser(t)
  if (browser === undefined) return undefined
  const runs = join(await temporaryFolder(t), 'runs')
  await prepare(runs)
  const server = await startWatch({ runs: [runs], port: 0, intervalMs: 50 })
  t.teardown(() => server.close())
  const page = await browser.newPage({ viewport: { width: 1300, height: 900 }, colorScheme: 'light' })
  const requests: string[] = []
  const problems: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  page.on('dialog', (dialog) => {
    problems.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  await page.goto(server.url)
  return { page, server, runs, requests, problems }
}

const status = (page: Page, name: string) => page.locator('nav li', { hasText: name }).locator('.status').textContent()
const chart = (page: Page, title: string) =>
  page.locator('figure', { has: page.locator(`figcaption:text("${title}")`) })

test.serial('a run that goes, one that finished and one that died', async (t) => {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const opened = await watching(t, async (runs) => {
    await fakeRun(join(runs, 'alive'), { name: 'alive', steps: 20, pid: process.pid })
    await fakeRun(join(runs, 'done'), { name: 'done', steps: 30, reason: 'finished' })
    await fakeRun(join(runs, 'gone'), { name: 'gone', steps: 10, pid })
  })
  if (opened === undefined) return
  const { page, runs, server, requests, problems } = opened
  await page.waitForSelector('#charts figure .line')
  t.deepEqual(await Promise.all(['alive', 'done', 'gone'].map((name) => status(page, name))), [
    'running',
    'finished',
    'dead',
  ])
  t.regex(String(await page.locator('#notes').textContent()), /gone: dead: process \d+ is gone/)
  t.is(await chart(page, 'Reward').first().locator('.chart:not(.key) path.line').count(), 3)

  // A new step shows without a reload, and so does a broken line and a run that begins later.
  await addSteps(join(runs, 'alive'), 21, 25)
  await page.waitForSelector('nav li:has-text("step 25")')
  await appendFile(join(runs, 'alive', 'metrics.jsonl'), '{"step": 26, "rew\n')
  await page.waitForSelector('text=metrics.jsonl: line 26 is not readable and was skipped')
  await fakeRun(join(runs, 'late'), { name: 'late' })
  await page.waitForSelector('nav li:has-text("late")')

  // Side by side.
  t.regex(String(await page.locator('#comparison-table').textContent()), /statusrunningfinisheddead/)
  await page.uncheck('[data-run$="done"]')
  await page.waitForSelector('#comparison-table:not(:has-text("finished"))')

  const origin = new URL(server.url).origin
  t.deepEqual([...new Set(requests.map((url) => new URL(url).origin))], [origin])
  t.deepEqual(problems, [])
  await page.close()
  while (server.listeners > 0) await delay(5)
  t.is(server.listeners, 0)
})

test.serial('what models wrote is shown, side by side, and never run', async (t) => {
  const attack = `<img src=x onerror="alert('img')"><script>alert('script')</script>`
  const opened = await watching(t, async (runs) => {
    const folder = await fakeRun(join(runs, 'one'), { name: attack.slice(0, 40).replaceAll(':', '') })
    const row = fakeSample(6)
    row.agents[0]!.completion = `${attack}\nsecond line`
    row.parts = { [attack]: 1 }
    await appendFile(join(folder, 'samples.jsonl'), `${JSON.stringify(row)}\n`)
    await appendFile(join(folder, 'metrics.jsonl'), `${JSON.stringify({ step: 6, [`reward/${attack}`]: 1 })}\n`)
  })
  if (opened === undefined) return
  const { page, problems } = opened
  await page.waitForSelector('.sample pre.completion')
  t.is(await page.locator('.agent').first().locator('pre').textContent(), `${attack}\nsecond line`)
  const boxes = await Promise.all([0, 1].map((index) => page.locator('.agent').nth(index).boundingBox()))
  t.is(boxes[0]?.y, boxes[1]?.y)
  t.true(boxes[0]!.x + boxes[0]!.width <= boxes[1]!.x)
  t.is(await page.locator('main img, main script').count(), 0)
  t.true(await page.locator('.chip', { hasText: attack }).isVisible())
  // Older samples by button, newer ones again.
  await page.click('#sample-older')
  await page.waitForSelector('.sample >> text=after 5 steps')
  t.false(await page.isChecked('#sample-follow'))
  await page.click('#sample-newer')
  await page.waitForSelector('.sample >> text=second line')
  t.deepEqual(problems, [])
})

test.serial('keyboard alone reads a value, changes the theme and hides a run', async (t) => {
  const opened = await watching(t, async (runs) => {
    await fakeRun(join(runs, 'a'), { name: 'a', reason: 'finished' })
    await fakeRun(join(runs, 'b'), { name: 'b', reason: 'finished' })
  })
  if (opened === undefined) return
  const { page, problems } = opened
  await page.waitForSelector('#charts figure .line')
  const focused = () => page.evaluate<string>(`document.activeElement?.id || document.activeElement?.tagName`)
  const tabTo = async (wanted: string) => {
    for (let count = 0; count < 40 && (await focused()) !== wanted; count++) await page.keyboard.press('Tab')
    t.is(await focused(), wanted)
  }
  const ground = () => page.evaluate<string>(`getComputedStyle(document.body).backgroundColor`)
  const light = await ground()
  await tabTo('theme')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Enter')
  t.is(await page.textContent('#theme'), 'theme: dark')
  const dark = await ground()
  t.not(dark, light)
  await page.keyboard.press('Enter')
  t.is(await ground(), light)
  await page.emulateMedia({ colorScheme: 'dark' })
  t.is(await ground(), dark)

  await page.keyboard.press('Tab')
  t.is(await page.evaluate<string>(`document.activeElement?.getAttribute('type')`), 'checkbox')
  await page.keyboard.press('Space')
  await page.waitForSelector('#charts figure:first-child .legend:has-text("mean")')
  // The list was drawn again; the focus is still on the run.
  await tabTo('FIGURE')
  await page.keyboard.press('ArrowLeft')
  t.regex(String(await page.locator('figure:focus .reading').textContent()), /^step 5mean 0\.247/)
  await page.keyboard.press('ArrowLeft')
  t.regex(String(await page.locator('figure:focus .reading').textContent()), /^step 4/)
  await page.keyboard.press('Home')
  t.regex(String(await page.locator('figure:focus .reading').textContent()), /^step 1/)
  await page.keyboard.press('Escape')
  t.is(await page.locator('figure:focus .reading').textContent(), '')
  t.deepEqual(problems, [])
})

test.serial('many runs of thousands of steps stay small on the page', async (t) => {
  const opened = await watching(t, async (runs) => {
    for (let run = 0; run < 20; run++) await fakeRun(join(runs, `run-${run}`), { name: `run-${run}`, steps: 4000 })
  })
  if (opened === undefined) return
  const { page, problems } = opened
  await page.waitForSelector('#charts figure .line')
  t.is(await page.locator('nav li').count(), 20)
  t.is(await page.locator('nav input:checked').count(), 6)
  const lengths = await page
    .locator('#charts path.line')
    .evaluateAll((paths) => paths.map((path) => (path.getAttribute('d') ?? '').split('L').length))
  t.true(lengths.length >= 6)
  t.true(Math.max(...lengths) > 200)
  t.true(Math.max(...lengths) <= 300)
  t.deepEqual(problems, [])
})

test.serial('a server that comes back is found again', async (t) => {
  const opened = await watching(t, (runs) => fakeRun(join(runs, 'a'), { name: 'a' }))
  if (opened === undefined) return
  const { page, server, runs } = opened
  await page.waitForSelector('#charts figure .line')
  const { port } = server
  await server.close()
  await page.waitForSelector('#connection.lost')
  await addSteps(join(runs, 'a'), 6, 9)
  const again = await startWatch({ runs: [runs], port, intervalMs: 50 })
  t.teardown(() => again.close())
  await page.waitForSelector('#connection:text-is("live")')
  await page.waitForSelector('nav li:has-text("step 9")')
  t.pass()
})
