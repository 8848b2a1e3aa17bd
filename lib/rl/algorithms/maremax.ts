import { withBaseline } from './group-relative.ts'

/**
 * {@link magrpo} with the group's best return as baseline.
 *
 * @throws ConfigError listing every setting out of range
 */
export const maremax = withBaseline('maremax', "each return less the group's best", 'max')
