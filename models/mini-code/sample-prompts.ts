/** Prompts of the supervised mix: those after feedback need the programs to be run. */
import { createJudge } from '../../lib/tasks/mini-code/judge.ts'
import { revisionPrompt } from '../../lib/tasks/mini-code/prompts.ts'
import type { RevisionSample, SupervisedSample } from './supervised.ts'

/** What is trained on. */
export interface Prompted {
  prompt: string
  completion: string
}

/** Takes samples from a generator and gives them their prompts, in the generator's order. */
export class SamplePrompts implements AsyncDisposable {
  private readonly judge = createJudge({})
  private readonly signal = new AbortController().signal

  constructor(private readonly samples: Iterator<SupervisedSample, never>) {}

  /** The next samples. What was asked for has to be awaited before this is disposed. */
  next(count: number): Promise<Prompted[]> {
    const taken = Array.from({ length: count }, () => this.samples.next().value)
    return Promise.all(
      taken.map(async (sample) => ({
        prompt: sample.situation === 'revision' ? await this.revision(sample) : sample.prompt,
        completion: sample.completion,
      })),
    )
  }

  private async revision({ item, agent, feedback, answers }: RevisionSample): Promise<string> {
    const facts = await this.judge.verdict(item, ...answers, this.signal)
    return revisionPrompt(item.prompt, agent, answers[agent]!, feedback, facts)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.judge.dispose()
  }
}
