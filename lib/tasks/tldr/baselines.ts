/** Baseline prompts of `tldr`. */
import { cutByRatio, splitAtDelimiter } from '../baselines/cut-text.ts'
import type { TaskBaselines } from '../task/baselines.ts'
import { paragraphDelimiter, wordTarget } from '../writing/baselines.ts'
import type { TldrItem } from './options.ts'

/** A post without the `TL;DR:` at its end. */
export const post = ({ prompt }: TldrItem) =>
  prompt
    .trimEnd()
    .replace(/TL;DR:?$/, '')
    .trim()

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
