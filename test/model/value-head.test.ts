/** Value heads: saved beside the policy and read back. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { asciiModel } from '../support/tiny-model.ts'

test('a trained value head is saved beside the adapter and read back', async (t) => {
  const folder = asciiModel()
  const out = mkdtempSync(join(tmpdir(), 'magrpo-value-'))
  await using model = await Model.load(folder)
  try {
    await using policy = await Policy.lora(model, { rank: 2, seed: 1 })
    await policy.attachValueHead({ hiddenSize: 8, seed: 5 })
    const promptIds = Int32Array.of(1, 5, 9)
    const group = {
      promptIds,
      completions: [{ ids: Int32Array.of(7), valueTarget: 1, valueWeight: 1 }],
      valueAt: 'prompt' as const,
    }
    const [fresh] = await policy.logProbs([group])
    for (let step = 0; step < 10; step++) {
      await policy.accumulate([group])
      await policy.step({ learningRate: 1e-2 })
    }
    const [trained] = await policy.logProbs([group])
    t.true(Math.abs(1 - trained!.values![0]!) < Math.abs(1 - fresh!.values![0]!))
    await policy.save(out)
    await using again = await Policy.fromAdapter(model, out)
    await t.throwsAsync(again.logProbs([group]), { code: 'ERR_ARGUMENT' })
    await again.loadValueHead(out)
    const [loaded] = await again.logProbs([group])
    t.deepEqual(loaded, trained)
  } finally {
    rmSync(out, { recursive: true, force: true })
  }
})
