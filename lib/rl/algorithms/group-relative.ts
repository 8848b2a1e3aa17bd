/** What the group-relative algorithms share: they differ in the baseline that is subtracted from a return. */
import type { z } from 'zod'
import type { ConfigIssue } from '../../base/errors.ts'
import { choice, section } from '../../base/validate.ts'
import { groupRelative } from '../credit/group-relative.ts'
import {
  type AdvantageMode,
  type Algorithm,
  type AlgorithmOptions,
  advantageModes,
  groupShape,
  resolveClip,
} from '../options/algorithm.ts'
import { type AlgorithmEntry, type AlgorithmMaker, defineAlgorithm } from './define.ts'

const common = { critic: null, credit: groupRelative, check: checkGroup }

/** A group-relative algorithm whose baseline is part of its definition. */
export function withBaseline(name: string, about: string, advantage: AdvantageMode): AlgorithmMaker<AlgorithmOptions> {
  return defineAlgorithm<AlgorithmOptions, typeof groupShape>({
    ...{ name, about, shape: groupShape, fixed: { advantage, critic: null } },
    ...common,
    resolve: (settings) => ({ ...settings, clip: resolveClip(settings) }),
  })
}

const anyBaseline = {
  /** What is subtracted from a return; see {@link AdvantageMode}. Defaults to `mean`. */
  advantage: choice(advantageModes).default('mean'),
  ...groupShape,
}
const anyBaselineSection = section(anyBaseline)

/** Settings of the group-relative algorithms that leave the baseline open. */
export interface OpenAlgorithmOptions extends z.input<typeof anyBaselineSection> {}

/** A group-relative algorithm with the mean as baseline unless `advantage` says otherwise. */
export function withAnyBaseline(
  about: Pick<AlgorithmEntry, 'name' | 'about' | 'maxAgents'>,
): AlgorithmMaker<OpenAlgorithmOptions> {
  return defineAlgorithm<OpenAlgorithmOptions, typeof anyBaseline>({
    ...{ ...about, shape: anyBaseline, fixed: { critic: null } },
    ...common,
    resolve: (settings) => ({ ...settings, clip: resolveClip(settings) }),
  })
}

/** A baseline of the group's own returns needs more than one of them. */
function checkGroup({ groupSize, advantage }: Algorithm): ConfigIssue[] {
  if (groupSize > 1 || advantage === 'raw') return []
  return [{ path: 'groupSize', message: `expected an integer from 2 up; received ${groupSize}` }]
}
