/**
 * The rewards of the writing tasks: four gated levels over two texts (MAGRPO, arXiv 2508.04652, section on writing
 * collaboration; formulas and thresholds as the published code has them). Nothing here measures meaning: a copy of
 * the prompt scores as well as a summary of the same shape.
 */

import { MagrpoError } from '../../base/errors.ts'
import type { Joint } from '../task/completion.ts'
import type { Rules } from '../task/options.ts'
import type { TransitionCategory } from './transition-words.ts'
import { transitionsBySubstring, transitionsByWord } from './transitions.ts'
import { countCharacters, jaccardIndex, splitWords, uniqueWords } from './words.ts'

/**
 * A score that is 1 from `full[0]` to `full[1]`, falls linearly to 0 at `zero[0]` and `zero[1]`, and fails outside.
 * All four edges belong to the inner side: exactly at a zero the score is 0, but the level passes.
 */
interface Plateau {
  zero: readonly [low: number, high: number]
  full: readonly [low: number, high: number]
}

/** The numbers that make one writing task differ from another. */
export interface WritingThresholds {
  /** Smallest and largest number of words of each text, both allowed. */
  words: readonly [min: number, max: number]
  /** For characters of the second text over characters of the first. */
  lengthRatio: Plateau
  /** For distinct words of the second text over distinct words of the first. */
  uniqueRatio: Plateau
  /** Jaccard index from which on consistency scores in full. */
  jaccardCap: number
  /** Where transition words are looked for. */
  transitionsIn: 'second' | 'both'
}

/** Thresholds of the TLDR task (also used for stories): a short text and one about twice as long. */
export const tldrThresholds: WritingThresholds = {
  words: [8, 256],
  lengthRatio: { zero: [1.1, 5.0], full: [1.6, 3.2] },
  uniqueRatio: { zero: [1.3, Infinity], full: [2.0, Infinity] },
  jaccardCap: 0.03,
  transitionsIn: 'second',
}

/**
 * Thresholds of the arXiv task. `paper-time`: those behind the paper's Table 1, in the code until 2025-12-31.
 * `current`: those of the code since, which want the second text longer.
 */
export const arxivThresholds: Record<'paper-time' | 'current', WritingThresholds> = {
  'paper-time': arxiv({ zero: [0.8, 1.5], full: [1.0, 1.3] }),
  current: arxiv({ zero: [0.8, 2.0], full: [1.3, 1.6] }),
}

function arxiv(lengthRatio: Plateau): WritingThresholds {
  return {
    words: [128, 256],
    lengthRatio,
    uniqueRatio: { zero: [0.5, 1.7], full: [0.7, 1.3] },
    jaccardCap: 0.23,
    transitionsIn: 'both',
  }
}

/** Nominal maximum of every writing reward. 2.98 can be reached: coherence ends at 0.38. */
export const maxWritingReward = 3

/** Points of the four levels; they sum to the reward. A level that was not reached has 0 points. */
export interface WritingParts extends Record<string, number> {
  /** Level 1: 0.5 if both texts have an allowed number of words. */
  structure: number
  /** Level 2: up to 1 for the ratio of their lengths in characters. */
  length_ratio: number
  /** Level 3: up to 0.5 for the ratio of their numbers of distinct words. */
  unique_ratio: number
  /** Level 4: up to 0.6 for the Jaccard index of their vocabularies. */
  consistency: number
  /** Level 4: up to 0.4 for the number of categories of transition words. */
  coherence: number
}

/** A writing reward: the points in total and by level. */
interface WritingReward {
  total: number
  parts: WritingParts
}

/** What is measured on a pair of texts, before any threshold. */
interface WritingMeasures {
  words: [number, number]
  characters: [number, number]
  unique: [number, number]
  /** Characters of the second text over those of the first; `NaN` or `Infinity` where the first is empty. */
  lengthRatio: number
  /** Distinct words of the second text over those of the first; `NaN` or `Infinity` where the first has none. */
  uniqueRatio: number
  /** Jaccard index of the two vocabularies without stop words. */
  jaccard: number
  /** Categories of transition words present. */
  transitions: TransitionCategory[]
}

/** Measures two texts; `transitionsIn` says which of them is searched for transition words. */
export function measureWriting(
  first: string,
  second: string,
  transitionsIn: WritingThresholds['transitionsIn'],
  rules: Rules,
): WritingMeasures {
  const characters: [number, number] = [countCharacters(first), countCharacters(second)]
  const unique: [number, number] = [uniqueWords(first).size, uniqueWords(second).size]
  return {
    words: [splitWords(first).length, splitWords(second).length],
    characters,
    unique,
    lengthRatio: characters[1] / characters[0],
    uniqueRatio: unique[1] / unique[0],
    jaccard: jaccardIndex(first, second),
    transitions: findTransitions(first, second, transitionsIn, rules),
  }
}

/** The published code joins both texts without a separator; whole words need one, or the seam would make new words. */
function findTransitions(
  first: string,
  second: string,
  where: WritingThresholds['transitionsIn'],
  rules: Rules,
): TransitionCategory[] {
  if (rules === 'paper') return transitionsBySubstring(where === 'both' ? first + second : second)
  if (where === 'second') return transitionsByWord(second)
  return [...new Set([...transitionsByWord(first), ...transitionsByWord(second)])]
}

/**
 * Scores two texts. Levels are gated: a failed one ends the scoring and what was collected before stays, except that
 * a failed first level leaves 0.
 *
 * @param first text of the agent that writes the shorter (or first) part
 * @param second text of the agent that writes the longer (or second) part
 * @param thresholds see {@link tldrThresholds} and {@link arxivThresholds}
 * @param rules defaults to `strict`
 * @returns at most {@link maxWritingReward} points
 */
export function scoreWriting(
  first: string,
  second: string,
  thresholds: WritingThresholds,
  rules: Rules = 'strict',
): WritingReward {
  return scoreMeasures(measureWriting(first, second, thresholds.transitionsIn, rules), thresholds)
}

/** Scores measures that are there already, see {@link scoreWriting}. */
export function scoreMeasures(measures: WritingMeasures, thresholds: WritingThresholds): WritingReward {
  const parts: WritingParts = { structure: 0, length_ratio: 0, unique_ratio: 0, consistency: 0, coherence: 0 }
  fillParts(parts, measures, thresholds)
  const total = parts.structure + parts.length_ratio + parts.unique_ratio + parts.consistency + parts.coherence
  return { total, parts }
}

function fillParts(parts: WritingParts, measures: WritingMeasures, thresholds: WritingThresholds): void {
  const [min, max] = thresholds.words
  if (!measures.words.every((count) => count >= min && count <= max)) return
  parts.structure = 0.5

  const length = plateauScore(measures.lengthRatio, thresholds.lengthRatio)
  if (length === undefined) return
  parts.length_ratio = length

  if (measures.unique[0] === 0) return
  const unique = plateauScore(measures.uniqueRatio, thresholds.uniqueRatio)
  if (unique === undefined) return
  parts.unique_ratio = 0.5 * unique

  parts.consistency = 0.6 * (Math.min(measures.jaccard, thresholds.jaccardCap) / thresholds.jaccardCap)
  parts.coherence = 0.4 * transitionScale(measures.transitions.length)
}

/** The score of a ratio, 0..1; undefined outside of the plateau's zeros: the level fails. */
function plateauScore(ratio: number, { zero, full }: Plateau): number | undefined {
  if (!(ratio >= zero[0] && ratio <= zero[1])) return undefined
  if (ratio < full[0]) return (ratio - zero[0]) / (full[0] - zero[0])
  if (ratio > full[1]) return 1 - (ratio - full[1]) / (zero[1] - full[1])
  return 1
}

/** 0 without a category, 0.4 for the first, 0.05 for each further one: 0.95 for all 12. */
function transitionScale(categories: number): number {
  return categories === 0 ? 0 : Math.min(1, 0.4 + Math.min(0.6, 0.05 * (categories - 1)))
}

/**
 * Further numbers of a pair of texts for the metrics log, `_1` and `_2` being the agents. Ratios whose divisor is 0
 * are given as 0, so that everything is finite.
 */
export function writingMetrics(
  first: string,
  second: string,
  thresholds: WritingThresholds,
  rules: Rules,
): Record<string, number> {
  const measures = measureWriting(first, second, thresholds.transitionsIn, rules)
  const finite = (ratio: number) => (Number.isFinite(ratio) ? ratio : 0)
  return {
    words_1: measures.words[0],
    words_2: measures.words[1],
    characters_1: measures.characters[0],
    characters_2: measures.characters[1],
    unique_words_1: measures.unique[0],
    unique_words_2: measures.unique[1],
    characters_ratio: finite(measures.lengthRatio),
    unique_words_ratio: finite(measures.uniqueRatio),
    jaccard: measures.jaccard,
    transition_categories: measures.transitions.length,
  }
}

/**
 * The two texts of a joint completion.
 *
 * @throws MagrpoError `ERR_TASK` unless there are exactly two
 */
export function textPair(joint: Joint, task: string): [string, string] {
  const [first, second] = joint
  if (joint.length !== 2 || first === undefined || second === undefined)
    throw new MagrpoError(
      'ERR_TASK',
      `Task "${task}": expected 2 completions (one an agent) but received ${joint.length}; use a team of 2 agents.`,
    )
  return [first.text, second.text]
}
