/**
 * TensorBoard's event files: records framed as TFRecord (length and data, each with a masked CRC-32C), each an `Event` message.
 * Field numbers are those of TensorFlow's `event.proto`, `summary.proto`, `tensor.proto` and `tensor_shape.proto`.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { cannotWrite } from '../base/cannot-write.ts'
import { maskedCrc32c } from './crc32c.ts'
import { bytesField, doubleField, floatField, message, varintField } from './protobuf.ts'

/** What an event says. */
interface EventContent {
  /** Values by tag. */
  scalars?: Record<string, number>
  /** Markdown by tag. */
  texts?: Record<string, string>
  /** Readers forget what they saw of this step and later ones: the run goes on from before it. */
  isRestart?: boolean
}

/** Values of enumerations: `DataType.DT_STRING` and `SessionLog.SessionStatus.START`. */
const dtString = 7
const sessionStart = 1

/** One record of a TFRecord file. */
export function record(data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(data.length))
  return Buffer.concat([length, checksum(length), data, checksum(data)])
}

/** The first event of a file. */
export function versionEvent(wallTime: number): Uint8Array {
  return message(doubleField(1, wallTime), bytesField(3, 'brain.Event:2'))
}

/**
 * An `Event` message.
 *
 * @param wallTime seconds since 1970
 */
export function encodeEvent(wallTime: number, step: number, content: EventContent): Uint8Array {
  const head = [doubleField(1, wallTime), varintField(2, step)]
  if (content.isRestart) return message(...head, bytesField(7, varintField(1, sessionStart)))
  const scalars = Object.entries(content.scalars ?? {}).map(([tag, value]) =>
    bytesField(1, message(bytesField(1, tag), floatField(2, value))),
  )
  const texts = Object.entries(content.texts ?? {}).map(([tag, text]) => bytesField(1, textValue(tag, text)))
  return message(...head, bytesField(5, message(...scalars, ...texts)))
}

function textValue(tag: string, text: string): Uint8Array {
  const shape = bytesField(2, varintField(1, 1))
  const tensor = message(varintField(1, dtString), bytesField(2, shape), bytesField(8, text))
  const plugin = bytesField(1, bytesField(1, 'text'))
  return message(bytesField(1, tag), bytesField(8, tensor), bytesField(9, plugin))
}

function checksum(bytes: Uint8Array): Uint8Array {
  const sum = Buffer.alloc(4)
  sum.writeUInt32LE(maskedCrc32c(bytes))
  return sum
}

/** Writes one event file. Each event is handed to the system before `append` resolves. */
export class EventFile {
  readonly path: string
  readonly #file: FileHandle
  /** Bytes of whole records. */
  #size = 0

  private constructor(path: string, file: FileHandle) {
    this.path = path
    this.#file = file
  }

  /**
   * Makes a new file in a folder; those of earlier starts stay beside it, and readers join them.
   *
   * @throws MagrpoError `ERR_RUN` if that is not possible
   */
  static async create(folder: string, now = Date.now()): Promise<EventFile> {
    const seconds = String(Math.floor(now / 1000)).padStart(10, '0')
    for (let count = 0; ; count++) {
      const path = join(folder, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${count}`)
      try {
        const events = new EventFile(path, await open(path, 'wx'))
        await events.#write(versionEvent(now / 1000))
        return events
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotWrite(path, cause)
      }
    }
  }

  /** Appends an event with the present time. */
  async append(step: number, content: EventContent): Promise<void> {
    await this.#write(encodeEvent(Date.now() / 1000, step, content))
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** A record that was cut off, say by a full disk, is written over by the next one: readers stop at a broken one. */
  async #write(event: Uint8Array): Promise<void> {
    const bytes = record(event)
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#size + done)
        done += bytesWritten
      }
    } catch (cause) {
      throw cannotWrite(this.path, cause)
    }
    this.#size += bytes.length
  }
}
