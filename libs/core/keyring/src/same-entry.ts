import { ByteWriter } from './byte-writer.ts'
import { sameBytes } from '@sealwright/bytes'
import { writeGeneration } from './codec.ts'
import { type Generation, type KeyringRecord, type Link } from './keyring.ts'
import { compareLinks, compareRecords } from './validate.ts'

/** Whether both are of one member of one seal, and of one generation: of two such a merge keeps one. */
export function isSamePlace(one: KeyringRecord, other: KeyringRecord): boolean {
  return compareRecords(one, other) === 0
}

/** Whether both open alike where they stand: in everything but who made them when, and which entry version they have. */
export function isSameContent(one: KeyringRecord, other: KeyringRecord): boolean {
  return (
    one.method === other.method &&
    sameBytes(one.sealedKek, other.sealedKek) &&
    sameBytes(one.wrappedKey, other.wrappedKey)
  )
}

/** Whether both lead to one generation by the same bytes. Those are bound to both ends. */
export function isSameLink(one: Link, other: Link): boolean {
  return compareLinks(one, other) === 0 && sameBytes(one.wrappedKey, other.wrappedKey)
}

/** Whether both say the same of a generation, but for its state, which is not signed. */
export function isSameStatement(one: Generation, other: Generation): boolean {
  return sameBytes(encoded(one), encoded({ ...other, state: one.state }))
}

function encoded(generation: Generation): Uint8Array {
  const writer = new ByteWriter()
  writeGeneration(writer, generation)
  return writer.finish()
}
