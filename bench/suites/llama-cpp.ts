/** Rows against node-llama-cpp. */
import type { Row, RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'

/** Decoding of so many rows of the same weights. */
export async function llamaCppRow(_session: Session, _spec: RowSpec, _model: string, _rows: number): Promise<Row> {
  throw new Error('not measured yet')
}
