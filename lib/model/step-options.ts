/** Settings of one optimizer step, their defaults and their bounds. */
import { z } from 'zod'
import { number } from '../base/fields.ts'
import { choice, section } from '../base/validate.ts'

const decay = number({ from: 0, below: 1 })

/** Numbers that AdamW's moments can be kept in. */
export const momentKinds = ['float32', 'bfloat16', 'int8'] as const

/** One of {@link momentKinds}. */
export type MomentKind = (typeof momentKinds)[number]

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
  /**
   * What AdamW's two moments are kept in between steps: `float32` (8 bytes per trained weight), `bfloat16` (4, rounded at random so that
   * small changes are not lost) or `int8` (2, in blocks of 256 with a scale each, after Dettmers et al., arXiv 2110.02861; tensors below
   * 4,096 weights stay `float32`). What was kept in another is converted by the next step. Defaults to `float32`.
   */
  moments: choice(momentKinds).default('float32'),
}

/** See {@link StepOptions}. */
export const stepSection = section(stepShape)

/** Settings of one optimizer step (AdamW, Loshchilov & Hutter 2019). */
export interface StepOptions extends z.input<typeof stepSection> {}
