/** What magrpo saves, transformers and PEFT open, and compute the same with. */
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { goldenModel, uniform } from '../support/golden-models.ts'
import { closeTo } from '../support/golden-values.ts'
import { openModel } from '../support/open-model.ts'
import { referencePython, runReference } from '../support/reference-python.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const groups = Array.from({ length: 3 }, (_, g) => {
  const ids = (what: string, length: number) =>
    Int32Array.from(uniform(`${what}/${g}`, length), (u) => Math.floor((u + 1) * 64))
  const completion = { ids: ids('completion', 12), weights: Float32Array.from(uniform(`weights/${g}`, 12)) }
  return { promptIds: ids('prompt', 4 + 6 * g), completions: [completion] }
})

async function trained(policy: Policy): Promise<Policy> {
  for (let step = 0; step < 2; step++) {
    await policy.accumulate(groups)
    await policy.step({ learningRate: 3e-3 })
  }
  return policy
}

/** Holds the policy's log-probs against those that Python computes from what was saved. */
async function opensAs(t: ExecutionContext, policy: Policy, args: string[], tolerance: number): Promise<void> {
  const python = await referencePython(t)
  if (python === undefined) return
  const requests = groups.map(({ promptIds, completions }) => ({
    prompt_ids: [...promptIds],
    completion_ids: [...completions[0]!.ids],
  }))
  const answers = (await runReference(python, 'open_saved.py', args, requests)) as { logprobs: number[] }[]
  const scores = await policy.logProbs(groups)
  t.is(answers.length, groups.length)
  scores.forEach(({ logProbs }, g) => {
    closeTo(t, logProbs[0]!, answers[g]!.logprobs, tolerance, `group ${g}`)
  })
}

/** Saves base and adapter. */
async function savedAdapter(t: ExecutionContext, model: Model, adapter: Policy): Promise<string[]> {
  const folder = await temporaryFolder(t)
  await Policy.base(model).save(join(folder, 'base'))
  await adapter.save(join(folder, 'adapter'))
  return [join(folder, 'base'), join(folder, 'adapter')]
}

for (const name of ['llama', 'llama3', 'llama-bias', 'mistral', 'qwen2', 'qwen3-tied', 'qwen3-untied', 'gemma3'])
  test.serial(`${name}: transformers opens a trained model`, async (t) => {
    const policy = await trained(await Policy.full(await openModel(t, goldenModel(name))))
    const folder = await temporaryFolder(t)
    await policy.save(folder)
    await opensAs(t, policy, [folder], 1e-4)
  })

test.serial('llama: transformers opens a trained bfloat16 model', async (t) => {
  const policy = await trained(await Policy.full(await openModel(t, goldenModel('llama'), { dtype: 'bfloat16' })))
  const folder = await temporaryFolder(t)
  await policy.save(folder)
  // The script computes in float32 with the saved weights, as this policy does.
  await opensAs(t, Policy.base(await openModel(t, folder, { dtype: 'float32' })), [folder], 1e-4)
})

for (const name of ['llama', 'qwen2', 'qwen3-untied'])
  test.serial(`${name}: PEFT opens a trained adapter`, async (t) => {
    const model = await openModel(t, goldenModel(name))
    const adapter = await trained(await Policy.lora(model, { rank: 3, alpha: 7 }))
    await opensAs(t, adapter, await savedAdapter(t, model, adapter), 1e-4)
  })

test.serial('PEFT opens an adapter on two projections', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const adapter = await trained(await Policy.lora(model, { rank: 2, targets: ['v_proj', 'up_proj'] }))
  await opensAs(t, adapter, await savedAdapter(t, model, adapter), 1e-4)
})
