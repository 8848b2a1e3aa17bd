/** Where settings stand that are looked for at the top level of a run or an evaluation. */
import { samplingSection } from '../../model/sampling.ts'
import { actorCriticShape, groupShape } from './algorithm.ts'
import { optimizerSection } from './optimizer.ts'

const within = (where: string, shape: object) =>
  Object.fromEntries(Object.keys(shape).map((key) => [key, `${where}.${key}`]))

/** The path of a setting of sampling, by its name. */
export const settingsOfSampling: Readonly<Record<string, string>> = within('sampling', samplingSection.shape)

/** The path of a setting of a run's sections, by its name. */
export const settingsOfSections: Readonly<Record<string, string>> = {
  ...within('algorithm', actorCriticShape),
  ...within('algorithm', groupShape),
  ...settingsOfSampling,
  ...within('optimizer', optimizerSection.shape),
}
