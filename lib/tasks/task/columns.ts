/** The score columns of a comparison's table, as a task defines them. */

/** Which of the paper's tables: writing, code, or for other tasks the parts of their own reward. */
export type TableKind = 'writing' | 'code' | 'task'

/** One column of scores. */
export interface Column {
  name: string
  title: string
  /** `%` of the maximum, or the plain number. */
  unit: '%' | ''
}

/** Scores of one joint completion by column, as shares of the maximum (plain numbers for {@link Column.unit} ''); null: not defined. */
export type ColumnScores = Record<string, number | null>

/** What the task said of a joint completion. */
export interface Outcome {
  /** Null: the reward abstained. */
  reward: number | null
  parts: Record<string, number>
}

/** Columns of one joint completion, and whether its program passed all tests. */
export interface MeasuredColumns {
  columns: ColumnScores
  passed: boolean | null
}

/** Scores joint completions for one table. */
export interface ColumnMeter {
  kind: TableKind
  /** Columns in the table's order; null where they are the parts of the task's reward, known only afterwards. */
  columns: Column[] | null
  /**
   * Columns of one joint completion.
   *
   * @param isAlone one model wrote it for a team of several agents: what needs a helper is not defined then
   */
  measure(
    item: unknown,
    texts: readonly string[],
    outcome: Outcome,
    isAlone: boolean,
    signal?: AbortSignal,
  ): Promise<MeasuredColumns>
  /** Frees what measuring holds. */
  dispose(): Promise<void>
}

/** A column of shares of a maximum. */
export const percentColumn = (name: string): Column => ({ name, title: name, unit: '%' })
