/** Settings of one optimizer step, their defaults and their bounds. */
import { z } from 'zod'
import { number } from '../base/fields.ts'
import { choice, section } from '../base/validate.ts'

const decay = number({ from: 0, below: 1 })

/** Fields of {@link StepOptions}. */
export const stepShape = {
  /** Size of the step; of the whole schedule its peak. */
  learningRate: number({ from: 0 }),
  /** Decay rates of the moments. Defaults to `[0.9, 0.999]`. */
  betas: z.tuple([decay, decay], { error: 'expected two numbers from 0 to below 1' }).readonly().default([0.9, 0.999]),
  /** Added to the root of the second moment. Defaults to `1e-8`. */
  epsilon: number({ above: 0 }).default(1e-8),
  /** Decoupled weight decay. Defaults to `0.01`, as in PyTorch. */
  weightDecay: number({ from: 0 }).default(0.01),
  /**
   * What {@link StepOptions.weightDecay} shrinks: `matrices` (projections, embeddings, adapters), or `all` trained weights, norms and
   * biases included, as `torch.optim.AdamW` over `model.parameters()` does. Defaults to `matrices`.
   */
  decay: choice(['matrices', 'all']).default('matrices'),
  /** Largest global L2 norm of the gradient. Defaults to `0`: no clipping. */
  maxGradNorm: number({ from: 0 }).default(0),
}

/** See {@link StepOptions}. */
export const stepSection = section(stepShape)

/** Settings of one optimizer step (AdamW, Loshchilov & Hutter 2019). */
export interface StepOptions extends z.input<typeof stepSection> {}
