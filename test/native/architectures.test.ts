/** The architectures that were compiled into the addon are the files that TypeScript reads. */
import test from 'ava'
import { architectureSpec, projectionNames, supportedArchitectures } from '../../lib/model/architecture.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'

test('the compiled table says what the files say', (t) => {
  const widths = ['hidden', 'query', 'key', 'mlp']
  const expected = supportedArchitectures.map((modelType) => {
    const { attention, mlp, ...spec } = architectureSpec(modelType)!
    const projections = [attention.query, attention.key, attention.value, attention.output, mlp.gate, mlp.up, mlp.down]
    const tensors = [
      spec.embedding.tensor,
      attention.norm_before,
      attention.query_norm,
      attention.key_norm,
      attention.norm_after,
      mlp.norm_before,
      mlp.norm_after,
      spec.final_norm,
      spec.head,
    ]
    return {
      modelType,
      tensors: tensors.map((name) => name ?? ''),
      projections: projections.map(({ tensor, in: from, out: to }) => [
        tensor,
        widths.indexOf(from),
        widths.indexOf(to),
      ]),
      formulas: [
        ['silu', 'gelu_tanh'].indexOf(mlp.activation.function),
        [undefined, 'sqrt_hidden_size'].indexOf(spec.embedding.scale),
        spec.norm_weight_offset ?? 0,
      ],
    }
  })
  t.deepEqual(loadAddon().architectures() as unknown, expected)
})

test('all architectures have the projections that adapters know', (t) => {
  const names = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
  for (const architecture of supportedArchitectures) t.deepEqual(projectionNames(architecture), names, architecture)
  t.deepEqual(projectionNames(), names)
})
