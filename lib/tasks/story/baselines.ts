/** Baseline prompts of `story`. */
import { cutByRatio, splitAtDelimiter } from '../baselines/cut-text.ts'
import type { TaskBaselines } from '../task/baselines.ts'
import type { StoryItem } from './options.ts'

/**
 * Baselines of `story`, whose models follow no instructions: they are shown a text to go on with. The single model's paragraphs
 * are those it starts by itself (an empty line, or the end of a line); the pipeline and the discussion show the other's story before the opening.
 */
export const storyBaselines: TaskBaselines<StoryItem> = {
  single: {
    agent: 'long',
    budget: 2,
    prompt: ({ opening }) => opening,
    split: (text) => splitAtDelimiter(text.trim(), '\n'),
    cut: (text, random) => cutByRatio(text, 2 + random),
  },
  pipeline: ({ opening }, agent, earlier) => (agent === 0 ? opening : afterStory(opening, earlier[0]!.text)),
  discussion: ({ opening }, _agent, others) => afterStory(opening, others[0]!.text),
}

const afterStory = (opening: string, text: string) => `${opening}${text.trimEnd()}\n${opening}`
