/** Baseline prompts of `arxiv`. */
import { cutByRatio, splitAtDelimiter } from '../baselines/cut-text.ts'
import type { TaskBaselines } from '../task/baselines.ts'
import { paragraphDelimiter, wordTarget } from '../writing/baselines.ts'
import type { ArxivItem } from './options.ts'

const abstract = (item: ArxivItem) => `This is the abstract of a scientific paper.\n\n${item.abstract_text.trim()}\n`

/** Baselines of `arxiv`. The single call has 512 tokens where one agent of the team has 256. */
export const arxivBaselines: TaskBaselines<ArxivItem> = {
  single: {
    agent: 'background',
    budget: 512 / 256,
    prompt: (item) => `${abstract(item)}
Expand it into an introduction of two paragraphs of the same length.
- The first paragraph gives the background and the motivation.
- The second paragraph gives the framework, the method, the contribution and the implications.
- Both have the same number of distinct words and use transition words of many kinds.
- Between the two paragraphs, write this line and nothing else in it: ${paragraphDelimiter}

The two paragraphs:
`,
    split: (text) => splitAtDelimiter(text, paragraphDelimiter),
    cut: (text, random) => cutByRatio(text, 1 + 0.3 * random),
  },
  pipeline: (item, agent, earlier) =>
    agent === 0
      ? `${abstract(item)}
Write the first part of the paper's introduction: background and motivation.

Background and motivation:`
      : `${abstract(item)}
The first part of the paper's introduction:

${earlier[0]!.text.trim()}

Write its second part, the method and the implications, in about ${wordTarget(earlier[0]!.text, 1.2)} words, with about as many distinct words as the first part and with transition words. Leave background and motivation out.

Method and implications:`,
  discussion: (item, agent, others) =>
    agent === 0
      ? `${abstract(item)}
Another author has written the second part of the paper's introduction, its method and implications:

${others[0]!.text.trim()}

Write the first part, background and motivation. The second part should be about 1.2 times as long as yours. Use about as many distinct words as it does, and transition words.

Background and motivation:`
      : `${abstract(item)}
Another author has written the first part of the paper's introduction, its background and motivation:

${others[0]!.text.trim()}

Write the second part, the method and the implications, about 1.2 times as long as the first, with about as many distinct words, and with transition words.

Method and implications:`,
}
