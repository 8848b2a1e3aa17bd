/** Where the items of a task come from, as options say it, and the published data set that a task may have. */

import { z } from 'zod'
import { integer, text } from '../../base/fields.ts'
import { section } from '../../base/validate.ts'

/** Keys of a source. */
const sourceKeys = {
  /** Path of a JSON Lines, JSON or Parquet file; the first two also as `.gz`. */
  file: text().optional(),
  /** A data set of the hub, `organisation/name`. */
  hub: text().optional(),
  /** Branch, tag or commit of the data set. Defaults to `main`. */
  revision: text().optional(),
  /** One of several configurations of a data set, which lie in folders of their own. */
  config: text().optional(),
  /**
   * `train`, `test[33:133]`, or a named split of the task such as `paper`. Defaults to `train` of a data set; a file is one split,
   * so that of it only the brackets count.
   */
  split: text().optional(),
  /** Rows to skip of what the split leaves. */
  offset: integer({ from: 0 }).optional(),
  /** Rows to take at most. */
  limit: integer({ from: 1 }).optional(),
}

/** The option of a source: a text or an object, as {@link DataSource}. */
const dataSource = z.union([
  text(),
  section(sourceKeys).refine(({ file, hub }) => (file === undefined) !== (hub === undefined), {
    message: 'expected either file or hub',
    path: ['file'],
  }),
])

/** A source as configurations have it: either `file` or `hub` is given. @interface */
export type AnySource = z.input<z.ZodObject<typeof sourceKeys>>

/** A part of a local file: a JSON Lines, JSON or Parquet file; the first two also as `.gz`. */
export interface FileSource extends Required<Pick<AnySource, 'file'>>, Pick<AnySource, 'split' | 'offset' | 'limit'> {}

/** A part of a data set on the hub, `organisation/name`. */
export interface HubSource extends Required<Pick<AnySource, 'hub'>>, Omit<AnySource, 'hub' | 'file'> {}

/**
 * Where items come from. A text is the path of a file; `hub:organisation/name` or `hub:organisation/name@revision`, a data set
 * of the hub (its split `train`); or a named split of the task (`paper`), of the published data set on the hub.
 */
export type DataSource = string | FileSource | HubSource | AnySource

/** Where items come from: a file, a data set of the hub, a part of one (see {@link DataSource}), or the items themselves. */
export type ItemSource<Item> = DataSource | readonly Item[]

/**
 * The published data set of a task, with the parts of it that the experiments of MAGRPO (arXiv 2508.04652) used, as their
 * configurations say.
 */
export interface PublishedData {
  /** Its name on the hub. */
  hub: string
  /** Parts by name. A split may have several names, of which a version of the data set has one. */
  splits: Record<string, { train?: readonly string[]; heldOut?: readonly string[] }>
}

/** The options of a task's two sources. */
export const sourceOptions = {
  /** The items to train on: a file, a data set of the hub, or a part of one. */
  train: dataSource,
  /** Held-out items for evaluation. Defaults to none. */
  heldOut: dataSource.optional(),
}
