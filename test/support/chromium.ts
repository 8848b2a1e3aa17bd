/** A real browser, for tests of `test/full`. */
import type { ExecutionContext } from 'ava'
import { type Browser, chromium } from 'playwright-core'
import { skipBecause } from './skip.ts'

interface ChromiumScript {
  findChromium(): string | null
}

/**
 * Starts the chromium of this machine; `MAGRPO_CHROMIUM` names another one. It is closed when the test ends.
 *
 * @returns undefined where there is none; the test is skipped then, with the reason printed
 */
export async function openBrowser(t: ExecutionContext): Promise<Browser | undefined> {
  const { findChromium }: ChromiumScript = await import(new URL('../../scripts/chromium.mjs', import.meta.url).href)
  const executablePath = findChromium()
  if (executablePath === null) {
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
