/** The trackers that come with magrpo, one line each, by the name that configurations use. */
export { entry as tensorboard } from './tensorboard.ts'
