import { withBaseline } from './group-relative.ts'

/**
 * {@link magrpo} without a baseline: the return itself (REINFORCE).
 *
 * @throws ConfigError listing every setting out of range
 */
export const mareinforce = withBaseline('mareinforce', 'the return itself, without a baseline', 'raw')
