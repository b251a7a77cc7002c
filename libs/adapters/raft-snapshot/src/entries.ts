import { RaftSnapshotError } from './errors.ts'
import { MAX_ENTRY_BYTES, MAX_KEY_BYTES } from './limits.ts'
import { varintReader } from './varint.ts'

/** One entry of OpenBao's storage. */
export interface RaftEntry {
  readonly key: string
  /** Encrypted by the barrier, but for what the seal needs before that is open. Fresh, and the caller's. */
  readonly value: Uint8Array
}

/** Whether the value of an entry shall be kept for the caller. Called once for each entry, in order of the keys. */
export type WantsEntry = (key: string, valueBytes: number) => boolean

export interface EntryReaderOptions {
  readonly wants: WantsEntry
  /** Longest value that is kept. */
  readonly maxValueBytes: number
}

export interface EntryReader {
  /** Takes the next bytes of `state.bin` and gives the wanted entries that they complete. */
  readonly push: (chunk: Uint8Array) => readonly RaftEntry[]
  /** States that `state.bin` has ended, and gives the number of its entries. */
  readonly end: () => number
}

/** Fields of `StorageEntry`, both length-delimited (wire type 2): `string key = 1`, `bytes value = 2`. */
const KEY_TAG = 0x0a
const VALUE_TAG = 0x12

type LengthStep = 'entry-length' | 'key-length' | 'value-length'
/** What comes byte by byte, and what comes in bulk. */
type ByteStep = LengthStep | 'key-tag' | 'value-tag'
type Step = ByteStep | 'key' | 'value'

/**
 * Reads `state.bin` in pieces: entries of uvarint length ‖ protobuf {1: key, 2: value}. Holds one key and, if it is wanted, one
 * value. As strict as OpenBao is regular: shortest varints, both fields in order and once, an empty value left out, no other
 * field, and keys that ascend byte by byte, so that none is there twice.
 *
 * `push` and `end` throw {@link RaftSnapshotError} `RAFT_SNAPSHOT_ENTRY_MALFORMED`; `push` also `RAFT_SNAPSHOT_TOO_LARGE` for a
 * wanted value over the limit.
 */
export function entryReader({ wants, maxValueBytes }: EntryReaderOptions): EntryReader {
  const varint = varintReader()
  const keyDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let step: Step = 'entry-length'
  let count = 0
  /** Bytes of the entry, and of the field in it, that are still to come. */
  let entryLeft = 0
  let fieldLeft = 0
  let previousKey: Uint8Array = new Uint8Array()
  let keyBytes: Uint8Array = new Uint8Array()
  let key = ''
  let value: Uint8Array | undefined

  const malformed = (why: string, cause?: unknown): RaftSnapshotError =>
    new RaftSnapshotError(
      'RAFT_SNAPSHOT_ENTRY_MALFORMED',
      `entry ${count + 1} of state.bin is not what OpenBao writes: ${why}`,
      { cause },
    )

  const takeByte = (which: ByteStep, byte: number): void => {
    if (which !== 'entry-length') {
      entryLeft -= 1
      if (entryLeft < 0) throw malformed('it ends within a field')
    }
    switch (which) {
      case 'key-tag':
        if (byte !== KEY_TAG) throw malformed('it does not begin with its key')
        step = 'key-length'
        return
      case 'value-tag':
        if (byte !== VALUE_TAG) throw malformed('what follows the key is not its value')
        step = 'value-length'
        return
      case 'entry-length':
      case 'key-length':
      case 'value-length': {
        const number = varint.take(byte)
        if (number === 'malformed') throw malformed('a length is not a shortest varint')
        if (number !== 'more') takeLength(which, number)
        return
      }
    }
  }

  const takeLength = (which: LengthStep, length: number): void => {
    switch (which) {
      case 'entry-length':
        if (length === 0 || length > MAX_ENTRY_BYTES) throw malformed(`it has ${length} bytes`)
        entryLeft = length
        step = 'key-tag'
        return
      case 'key-length':
        if (length === 0 || length > MAX_KEY_BYTES) throw malformed(`its key has ${length} bytes`)
        if (length > entryLeft) throw malformed('its key is longer than itself')
        keyBytes = new Uint8Array(length)
        fieldLeft = length
        step = 'key'
        return
      case 'value-length':
        if (length === 0) throw malformed('an empty value is written out')
        if (length !== entryLeft) throw malformed('its value does not end where it does')
        startValue(length)
        return
    }
  }

  const startValue = (length: number): void => {
    value = undefined
    if (wants(key, length)) {
      if (length > maxValueBytes) {
        throw new RaftSnapshotError(
          'RAFT_SNAPSHOT_TOO_LARGE',
          `the value of entry ${count + 1} has ${length} bytes, at most ${maxValueBytes} are kept`,
        )
      }
      value = new Uint8Array(length)
    }
    fieldLeft = length
    step = 'value'
  }

  const takeBulk = (bytes: Uint8Array, ready: RaftEntry[]): void => {
    const target = step === 'key' ? keyBytes : value
    target?.set(bytes, target.byteLength - fieldLeft)
    fieldLeft -= bytes.byteLength
    entryLeft -= bytes.byteLength
    if (fieldLeft > 0) return
    if (step === 'value') {
      finishEntry(ready)
      return
    }
    finishKey()
    if (entryLeft > 0) {
      step = 'value-tag'
      return
    }
    startValue(0)
    finishEntry(ready)
  }

  const finishKey = (): void => {
    if (Buffer.compare(previousKey, keyBytes) >= 0) throw malformed('its key does not come after the one before')
    previousKey = keyBytes
    try {
      key = keyDecoder.decode(keyBytes)
    } catch (cause) {
      throw malformed('its key is not UTF-8', cause)
    }
  }

  const finishEntry = (ready: RaftEntry[]): void => {
    if (value !== undefined) ready.push({ key, value })
    value = undefined
    count += 1
    step = 'entry-length'
  }

  return {
    push: chunk => {
      const ready: RaftEntry[] = []
      let offset = 0
      while (offset < chunk.byteLength) {
        if (step === 'key' || step === 'value') {
          const end = Math.min(offset + fieldLeft, chunk.byteLength)
          takeBulk(chunk.subarray(offset, end), ready)
          offset = end
        } else {
          // The loop's condition says that it is there.
          takeByte(step, chunk[offset] ?? 0)
          offset += 1
        }
      }
      return ready
    },
    end: () => {
      if (step !== 'entry-length' || varint.underWay()) throw malformed('state.bin ends within it')
      return count
    },
  }
}
