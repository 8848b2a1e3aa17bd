/** The few wire types of Protocol Buffers that event files need. */

/** A field with its tag, ready to be put into a message. */
export type Field = Uint8Array

/** A message: its fields, one after the other. */
export function message(...fields: readonly Field[]): Uint8Array {
  return Buffer.concat(fields)
}

/** An `int64`, `int32` or `enum` field. Expects an integer from 0 to 2⁵³-1. */
export function varintField(number: number, value: number): Field {
  return Buffer.concat([varint(number << 3), varint(value)])
}

/** A `double` field. */
export function doubleField(number: number, value: number): Field {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([varint((number << 3) | 1), bytes])
}

/** A `float` field: the value is rounded to float32. */
export function floatField(number: number, value: number): Field {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return Buffer.concat([varint((number << 3) | 5), bytes])
}

/** A `bytes`, `string` or message field. */
export function bytesField(number: number, value: Uint8Array | string): Field {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
