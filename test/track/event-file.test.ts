import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { crc32c, maskedCrc32c } from '../../lib/track/crc32c.ts'
import { EventFile, encodeEvent, record, versionEvent } from '../../lib/track/event-file.ts'
import { bytesField, varintField } from '../../lib/track/protobuf.ts'
import { rejectsWith } from '../support/errors.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('the checksum is that of RFC 3720', (t) => {
  t.is(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.is(crc32c(new Uint8Array(32)), 0x8a9136aa)
  t.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  t.is(crc32c(new Uint8Array(0)), 0)
})

test('a checksum is masked as TFRecord does: rotated by 15 bits, plus a constant', (t) => {
  const rotate = (crc: number) => ((crc >>> 15) | (crc << 17)) >>> 0
  t.is(maskedCrc32c(Buffer.from('123456789')), (rotate(0xe3069283) + 0xa282ead8) % 2 ** 32)
  t.is(maskedCrc32c(new Uint8Array(0)), 0xa282ead8)
})

test('varints take as many bytes as they need', (t) => {
  t.is(hex(varintField(1, 0)), '0800')
  t.is(hex(varintField(2, 300)), '10ac02')
  t.is(hex(varintField(2, 2 ** 40)), '10808080808020')
  t.is(hex(bytesField(5, 'ab')), '2a026162')
})

test('an event with a scalar has the bytes of the protocol', (t) => {
  // wall_time = 1.0 (field 1), step = 2 (field 2), summary (field 5) { value (1) { tag (1) "a/b", simple_value (2) 0.5 } }
  t.is(
    hex(encodeEvent(1, 2, { scalars: { 'a/b': 0.5 } })),
    ['09000000000000f03f', '1002', '2a0c', '0a0a', '0a03612f62', '150000003f'].join(''),
  )
  t.is(hex(encodeEvent(1, 2, { isRestart: true })), ['09000000000000f03f', '1002', '3a020801'].join(''))
})

test('a record is length, its checksum, data and its checksum', (t) => {
  const bytes = Buffer.from(record(Buffer.from('abc')))
  t.is(bytes.length, 8 + 4 + 3 + 4)
  t.is(bytes.readBigUInt64LE(0), 3n)
  t.is(bytes.readUInt32LE(8), maskedCrc32c(bytes.subarray(0, 8)))
  t.is(bytes.toString('latin1', 12, 15), 'abc')
  t.is(bytes.readUInt32LE(15), maskedCrc32c(Buffer.from('abc')))
})

test('a file begins with its version, and a second start makes a second file', async (t) => {
  const folder = await temporaryFolder(t)
  const first = await EventFile.create(folder, 1_700_000_000_000)
  await first.append(1, { scalars: { x: 1 } })
  await first.close()
  const second = await EventFile.create(folder, 1_700_000_000_000)
  await second.close()
  const names = (await readdir(folder)).sort()
  t.is(names.length, 2)
  t.true(names.every((name) => /^events\.out\.tfevents\.1700000000\..+\.\d+\.[01]$/.test(name)))
  const head = hex(record(versionEvent(1_700_000_000)))
  t.true(hex(await readFile(join(folder, names[0]!))).startsWith(head))
  t.is(hex(await readFile(join(folder, names[1]!))), head)
})

test('a folder that cannot be written is an error with a code', async (t) => {
  const folder = join(await temporaryFolder(t), 'missing')
  await rejectsWith(t, () => EventFile.create(folder), 'ERR_RUN', /missing/)
})
