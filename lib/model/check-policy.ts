import { argumentError } from '../base/arguments.ts'
import { Model } from './model.ts'

/**
 * Whether something can be sampled from or scored: a policy, or what has the same form.
 *
 * @param what names the argument
 * @throws MagrpoError `ERR_ARGUMENT`
 */
export function expectPolicy(value: unknown, what: string): void {
  const policy = value as { model?: unknown; kind?: unknown } | null | undefined
  if (!(policy?.model instanceof Model) || typeof policy.kind !== 'string')
    throw argumentError('a Policy (Policy.base, Policy.full or Policy.lora)', what, value)
}
