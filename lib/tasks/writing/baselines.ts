/**
 * Baseline prompts of the writing tasks. What is asked follows the published baselines (targets included), the wording is this
 * project's own.
 */

import { cutByRatio, splitAtDelimiter } from '../baselines/cut-text.ts'
import type { TaskBaselines } from '../task/baselines.ts'
import type { ArxivItem, StoryItem, TldrItem } from './items.ts'
import { splitWords } from './words.ts'

/** The line that the single model is asked to put between its two paragraphs. */
export const paragraphDelimiter = '[SECOND PARAGRAPH]'

/** Fewest words the second agent of a pipeline is asked for, however short the first one's text is. */
const leastWords = 80

/** `times` the words of a text, at least {@link leastWords}, rounded up. */
const wordTarget = (text: string, times: number) => Math.max(Math.ceil(times * splitWords(text).length), leastWords)

const post = ({ prompt }: TldrItem) => prompt.replace(/\s*TL;DR:?\s*$/, '').trim()

const redditPost = (item: TldrItem) => `Here is a post from Reddit.\n\n${post(item)}\n`

/** Baselines of `tldr`. The single call has 260 tokens where one agent of the team has 256. */
export const tldrBaselines: TaskBaselines<TldrItem> = {
  single: {
    agent: 'elaborator',
    budget: 260 / 256,
    prompt: (item) => `${redditPost(item)}
Summarize the post in two paragraphs, each of 10 to 200 tokens.
- The first paragraph is a concise summary.
- The second paragraph goes into detail. It has 2 to 3 times the characters of the first and more distinct words, keeps the first one's style, and uses transition words of as many kinds as possible.
- Between the two paragraphs, write this line and nothing else in it: ${paragraphDelimiter}

The two paragraphs:
`,
    split: (text) => splitAtDelimiter(text, paragraphDelimiter),
    cut: (text, random) => cutByRatio(text, 2 + random),
  },
  pipeline: (item, agent, earlier) =>
    agent === 0
      ? `${redditPost(item)}
Summarize the post concisely.

Brief summary:`
      : `${redditPost(item)}
A brief summary of it:

${earlier[0]!.text.trim()}

Write a detailed summary of the post that goes with the brief one: about ${wordTarget(earlier[0]!.text, 2)} words, 2 to 3 times as long as the brief one, in the same style, with more distinct words and with transition words of many kinds.

Detailed summary:`,
  discussion: (item, agent, others) =>
    agent === 0
      ? `${redditPost(item)}
Another author has written this detailed summary:

${others[0]!.text.trim()}

Write a concise summary of the post in the same style, 2 to 3 times shorter than the detailed one.

Brief summary:`
      : `${redditPost(item)}
Another author has written this brief summary:

${others[0]!.text.trim()}

Write a detailed summary of the post in the same style, 2 to 3 times longer than the brief one, with more distinct words and with transition words of many kinds.

Detailed summary:`,
}

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
