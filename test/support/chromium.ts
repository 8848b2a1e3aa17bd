/** A real browser, for tests of `test/full`. */
import { existsSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import { type Browser, chromium } from 'playwright-core'
import { skipBecause } from './skip.ts'

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/**
 * Starts the chromium of this machine; `MAGRPO_CHROMIUM` names another one. It is closed when the test ends.
 *
 * @returns undefined where there is none; the test is skipped then, with the reason printed
 */
export async function openBrowser(t: ExecutionContext): Promise<Browser | undefined> {
  const executablePath = [process.env.MAGRPO_CHROMIUM, ...places].find((place) => place && existsSync(place))
  if (executablePath === undefined) {
    skipBecause(t, 'chromium is missing (apt-get install chromium)')
    return undefined
  }
  const browser = await chromium.launch({
    executablePath,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  })
  t.teardown(() => browser.close())
  return browser
}
