import { MagrpoError } from '../../base/errors.ts'

/** A problem of the HumanEval form. */
export interface CodeItem {
  /** Name of the problem, for people. */
  task_id?: string
  /** What the agents are shown: as a rule imports, helper functions, and a signature with a docstring. */
  prompt: string
  /** A Python module with the tests; as a rule it defines `check(candidate)`. */
  test: string
  /** Name of the function asked for. */
  entry_point: string
}

/**
 * Checks that a value is a {@link CodeItem}.
 *
 * @param value what came
 * @param where where it came from, for the message (`line 3 of problems.jsonl`)
 * @throws MagrpoError `ERR_DATA` that names the missing or wrong field (`details.field`)
 */
export function checkCodeItem(value: unknown, where = 'the item'): CodeItem {
  const item = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  for (const field of ['prompt', 'test', 'entry_point'] as const) {
    const got = item[field]
    if (typeof got === 'string' && (field === 'prompt' || got !== '')) continue
    const received = got === undefined ? 'nothing' : got === '' ? 'an empty string' : `a value of type ${typeof got}`
    throw new MagrpoError(
      'ERR_DATA',
      `Expected a string in the field "${field}" of ${where} but received ${received}. A code problem has the fields prompt, test and entry_point.`,
      { details: { field } },
    )
  }
  if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(item.entry_point as string))
    throw new MagrpoError(
      'ERR_DATA',
      `Expected the name of a function in the field "entry_point" of ${where} but received ${JSON.stringify(item.entry_point)}.`,
      { details: { field: 'entry_point' } },
    )
  return item as unknown as CodeItem
}
