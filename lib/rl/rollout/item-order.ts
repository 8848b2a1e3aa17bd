/** Which items a step trains on, as a pure function of counters: a run resumed at any step sees the same items. */
import { permutation } from '../../base/random.ts'

/** One item of a step. */
export interface StepItem {
  /** Index into `task.items`. */
  item: number
  /** Position within the step. */
  slot: number
}

/** Fixed facts of a run's order of items. */
export interface ItemOrderSettings {
  /** How many there are, or the indices of those that are drawn. */
  items: number | readonly number[]
  promptsPerStep: number
  seed: number
  /** A new order in each epoch; otherwise that of the task. */
  shuffle: boolean
  /** Passes over the items after which there is nothing left; null: without end. */
  epochs: number | null
}

/** Hands out the items of each step: epochs follow each other without a gap, the last step may be smaller. */
export class ItemOrder {
  private readonly settings: ItemOrderSettings
  private readonly orders = new Map<number, Int32Array>()

  constructor(settings: ItemOrderSettings) {
    this.settings = settings
  }

  /** Items of a step, counted from 1. */
  step(index: number): StepItem[] {
    const { promptsPerStep, epochs } = this.settings
    const items = this.count
    const begin = (index - 1) * promptsPerStep
    const end = Math.min(begin + promptsPerStep, epochs === null ? Infinity : positionsOf(items, epochs))
    const chosen: StepItem[] = []
    for (let position = begin; position < end; position++) {
      const drawn = this.order(Math.floor(position / items))[position % items]!
      const item = typeof this.settings.items === 'number' ? drawn : this.settings.items[drawn]!
      chosen.push({ item, slot: position - begin })
    }
    return chosen
  }

  private get count(): number {
    const { items } = this.settings
    return typeof items === 'number' ? items : items.length
  }

  private order(epoch: number): Int32Array {
    let order = this.orders.get(epoch)
    if (order === undefined) {
      const { seed, shuffle } = this.settings
      const items = this.count
      order = shuffle ? permutation(items, seed, epoch) : Int32Array.from({ length: items }, (_, i) => i)
      // A step reaches into two epochs at most when it is smaller than one; older orders are not needed again.
      if (this.orders.size > 4) this.orders.clear()
      this.orders.set(epoch, order)
    }
    return order
  }
}

/** Steps that `epochs` passes over `items` take. */
export function stepsOfEpochs(items: number, epochs: number, promptsPerStep: number): number {
  return Math.ceil(positionsOf(items, epochs) / promptsPerStep)
}

function positionsOf(items: number, epochs: number): number {
  return Math.max(1, Math.round(items * epochs))
}
