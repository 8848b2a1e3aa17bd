import type { ExecutionContext } from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'

/**
 * Asserts that `work` rejects with an error of this package.
 *
 * @param parts what the message must say, each of them
 */
export async function rejectsWith(
  t: ExecutionContext,
  work: () => Promise<unknown>,
  code: MagrpoError['code'],
  ...parts: (string | RegExp)[]
): Promise<MagrpoError> {
  const error = await t.throwsAsync(async () => {
    await work()
  })
  if (!(error instanceof MagrpoError)) throw error
  t.is(error.code, code, error.message)
  for (const part of parts)
    t.true(
      typeof part === 'string' ? error.message.includes(part) : part.test(error.message),
      `${part}: ${error.message}`,
    )
  return error
}
