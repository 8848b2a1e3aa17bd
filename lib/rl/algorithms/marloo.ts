import { withBaseline } from './group-relative.ts'

/**
 * {@link magrpo} with the mean of the group's other members as baseline (RLOO, Ahmadian et al. 2024).
 *
 * @throws ConfigError listing every setting out of range
 */
export const marloo = withBaseline('marloo', "each return less the mean of the group's other members", 'rloo')
