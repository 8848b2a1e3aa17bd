/** Rows against what the machine allows. */
import type { Row, RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'

/** One row for one model. */
export async function limitsRow(_session: Session, _spec: RowSpec, _model: string): Promise<Row> {
  throw new Error('not measured yet')
}
