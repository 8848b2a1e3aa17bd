/** The report in a real browser, opened from disk. */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { writeReport } from '../../lib/report/report.ts'
import { openBrowser } from '../support/chromium.ts'
import { fakeSample } from '../support/fake-reports.ts'
import { fakeRun } from '../support/fake-run.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

test.serial('a report opens from disk, asks for nothing, and runs nothing that a model wrote', async (t) => {
  const browser = await openBrowser(t)
  if (browser === undefined) return
  const folder = await fakeRun(join(await temporaryFolder(t), 'haiku'), { steps: 2000, reason: 'finished' })
  const row = fakeSample(2000, 'eval')
  row.agents[0]!.completion = `<img src=x onerror="alert('img')"></pre><script>alert('script')</script>`
  await appendFile(join(folder, 'samples.jsonl'), `${JSON.stringify(row)}\n`)
  const file = pathToFileURL(await writeReport(folder)).href

  const page = await browser.newPage({ colorScheme: 'light' })
  const requests: string[] = []
  const problems: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('dialog', (dialog) => {
    problems.push(dialog.message())
    void dialog.dismiss()
  })
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  await page.goto(file)
  t.true((await page.locator('figure .line').count()) >= 7)
  await page.locator('figure').first().focus()
  await page.keyboard.press('End')
  t.regex(String(await page.textContent('figure .reading')), /^step 2000mean/)
  const ground = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
  const light = await ground()
  await page.click('#theme')
  await page.click('#theme')
  t.not(await ground(), light)
  t.deepEqual(requests, [file])
  t.deepEqual(problems, [])

  // Without scripts everything but reading values is there.
  const plain = await browser.newPage({ javaScriptEnabled: false })
  await plain.goto(file)
  t.true(await plain.locator('figure svg').first().isVisible())
  t.false(await plain.locator('#theme').isVisible())
})
