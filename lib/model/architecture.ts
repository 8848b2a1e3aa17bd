/**
 * The architectures that magrpo computes, each a file `native/model/arch/NAME.json`. The addon is compiled from the same files
 * (`native/model/architecture.h`), so that a further one whose blocks exist is a further file.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** A width of activations: of the residual stream, of all queries, of all keys or values, or within the MLP. */
export type Width = 'hidden' | 'query' | 'key' | 'mlp'

/** A linear map of a layer, which an adapter may sit on. */
interface Projection {
  /** Checkpoint name without `.weight`; `{layer}` stands for the number of a layer, here and in all names below. */
  tensor: string
  in: Width
  out: Width
}

/** Whether there are biases: always, never (undefined), or as a boolean field of config.json says. */
type Bias = true | string | undefined

/** What a file says. Fields are those of config.json. */
export interface ArchitectureSpec {
  model_type: string
  /** Of fields that may be missing. */
  defaults: Record<string, unknown>
  /** Fields that must be missing, null or false, with what they ask for. */
  unsupported?: Record<string, string>
  /** Added to the weight of every norm. */
  norm_weight_offset?: number
  embedding: { tensor: string; scale?: 'sqrt_hidden_size' }
  attention: {
    norm_before: string
    query: Projection
    key: Projection
    value: Projection
    query_norm?: string
    key_norm?: string
    output: Projection
    norm_after?: string
    qkv_bias?: Bias
    output_bias?: Bias
    /** Scores are divided by the root of this field, or of the width of a head. */
    scale?: string
    /** Which layers look back no further than `sliding_window`, where `switch` is true or missing here; `layer_types` goes first. */
    sliding?: {
      switch?: string
      layers: 'all' | 'from' | 'all_but_every'
      field?: string
      /** These layers have rotary settings of their own, with this field as their base. */
      rope_theta?: string
    }
  }
  mlp: {
    norm_before: string
    gate: Projection
    up: Projection
    down: Projection
    norm_after?: string
    bias?: Bias
    activation: { function: 'silu' | 'gelu_tanh'; field: string; names: string[] }
  }
  final_norm: string
  head: string
}

const folder = new URL('../../native/model/arch/', import.meta.url)

const specs = new Map<string, ArchitectureSpec>(
  readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')))
    .map((spec: ArchitectureSpec) => [spec.model_type, spec]),
)

/** Architectures that magrpo computes, by `model_type`. */
export const supportedArchitectures: readonly string[] = [...specs.keys()]

/** What is known of one of {@link supportedArchitectures}; undefined for any other `model_type`. */
export function architectureSpec(name: unknown): ArchitectureSpec | undefined {
  return specs.get(name as string)
}

/** Names of the projections that an adapter may sit on, of one architecture or of any. */
export function projectionNames(architecture?: string): string[] {
  const chosen = architecture === undefined ? supportedArchitectures : [architecture]
  return [...new Set(chosen.flatMap((name) => [...projectionsOf(name).keys()]))]
}

/** The projections of a layer by the names that adapters use. */
export function projectionsOf(architecture: string): Map<string, Projection> {
  const { attention, mlp } = specs.get(architecture)!
  const all = [attention.query, attention.key, attention.value, attention.output, mlp.gate, mlp.up, mlp.down]
  return new Map(all.map((projection) => [projection.tensor.slice(projection.tensor.lastIndexOf('.') + 1), projection]))
}
