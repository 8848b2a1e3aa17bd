/** The tasks that come with magrpo, one line each, by the name that configurations and the command line use. */
export { entry as arxiv } from './arxiv/entry.ts'
export { entry as coophumaneval } from './coophumaneval/entry.ts'
export { entry as humaneval } from './humaneval/entry.ts'
export { entry as mbpp } from './mbpp/entry.ts'
export { entry as 'mini-code' } from './mini-code/entry.ts'
export { entry as story } from './story/entry.ts'
export { entry as tldr } from './tldr/entry.ts'
