import { type KeyObject } from 'node:crypto'

import { hex, sameBytes } from '@sealwright/bytes'
import { deriveAuditKey, deriveBlobKey, deriveMacKey } from './key-schedule.ts'
import { type Generation, type KeyringContents, MAX_GENERATIONS } from './keyring.ts'
import { currentGeneration, isGivenUp } from './lineage.ts'
import { type SealKeys } from './seal-keys.ts'
import { mayHaveStaticBlobs, staticBlobKey } from './static-blob.ts'

/** The subkeys of one generation that a running agent needs. The seal key itself is not among them, unless static blobs may name it. */
export interface Subkeys {
  /** Of the generation, in hex. */
  readonly id: string
  /** 32 bytes, as {@link Generation.signingKey}. */
  readonly signingKey: Uint8Array
  /** What blobs name it by. */
  readonly keyId: string
  readonly blobKey: KeyObject
  readonly macKey: KeyObject
  readonly auditKey: KeyObject
  /** The seal key itself, where blobs of a static seal are to be decrypted. */
  readonly staticKey: KeyObject | undefined
}

/** By the id of their generation, in hex; with a former key id after it where there is one. */
export type HeldSubkeys = ReadonlyMap<string, Subkeys>

/** How many are kept beside those that the keyring lists. The oldest give way: a blob brings the keyring that it was made with. */
const MAX_FORMER = MAX_GENERATIONS

/** Those of all generations whose seal keys are held. */
export function subkeysOf(
  { clusterId, generations }: KeyringContents,
  sealKeys: SealKeys,
  { opensStaticBlobs }: { readonly opensStaticBlobs: boolean },
): HeldSubkeys {
  return new Map(
    generations
      .filter(({ id }) => sealKeys.has(id))
      .map(generation => {
        const sealKey = sealKeys.of(generation.id)
        const subkeys = {
          ...placeOf(generation),
          blobKey: deriveBlobKey(sealKey, clusterId),
          macKey: deriveMacKey(sealKey, clusterId),
          auditKey: deriveAuditKey(sealKey, clusterId),
          staticKey: opensStaticBlobs && mayHaveStaticBlobs(generation) ? staticBlobKey(sealKey) : undefined,
        }
        return [subkeys.id, subkeys]
      }),
  )
}

/**
 * Those of all generations that the merged contents list, by the key ids that these say. Beyond that those that only a side which was given
 * up knows, or knows by another key id: blobs from there can still be saved. Of the other side only such as come after a generation that is
 * active in the result: once all from before a break is retired, nothing more comes from there.
 *
 * @see docs/formats/keyring.md §9
 */
export function uniteSubkeys(
  mine: HeldSubkeys,
  theirs: { readonly keyring: KeyringContents; readonly subkeys: HeldSubkeys },
  contents: KeyringContents,
): HeldSubkeys {
  const offered = offeredSubkeys(mine, theirs, contents)
  const united = new Map<string, Subkeys>()
  for (const generation of contents.generations) {
    const place = placeOf(generation)
    const own = mine.get(place.id)
    const subkeys = own ?? offered.find(({ id }) => id === place.id)
    if (subkeys === undefined) continue
    const staticKey = mayHaveStaticBlobs(generation) ? (own ?? subkeys).staticKey : undefined
    united.set(place.id, { ...subkeys, ...place, staticKey })
  }
  const former = new Map<string, Subkeys>()
  for (const subkeys of [...mine.values(), ...offered]) {
    if (united.get(subkeys.id)?.keyId === subkeys.keyId) continue
    former.set(`${subkeys.id} as ${subkeys.keyId}`, { ...subkeys, staticKey: undefined })
  }
  for (const [name, subkeys] of [...former].slice(-MAX_FORMER)) {
    united.set(united.has(subkeys.id) ? name : subkeys.id, subkeys)
  }
  return united
}

/** What the other side brings: its keys, and its key ids for keys that are held here. */
function offeredSubkeys(
  mine: HeldSubkeys,
  { keyring, subkeys }: { readonly keyring: KeyringContents; readonly subkeys: HeldSubkeys },
  contents: KeyringContents,
): readonly Subkeys[] {
  const isSaved = isGivenUp(keyring, currentGeneration(keyring), contents) ? comingAfterActive(contents) : () => true
  return keyring.generations.filter(isSaved).flatMap(generation => {
    const place = placeOf(generation)
    const held = subkeys.get(place.id) ?? mine.get(place.id)
    return held !== undefined && sameBytes(held.signingKey, place.signingKey) ? [{ ...held, ...place }] : []
  })
}

/** Whether a generation is active in `contents` or comes after one that is. To be asked for a parent before its children. */
function comingAfterActive(contents: KeyringContents): (generation: Generation) => boolean {
  const active = new Set(contents.generations.filter(({ state }) => state === 'active').map(keyOf))
  const saved = new Set<string>()
  return generation => {
    const { id, parentId } = generation
    if (active.has(keyOf(generation)) || saved.has(hex(parentId))) saved.add(hex(id))
    return saved.has(hex(id))
  }
}

/** What nobody else can have signed under the same id: whoever has the parent's key can sign the id with a key of their own. */
function keyOf({ id, signingKey }: Generation): string {
  return `${hex(id)} ${hex(signingKey)}`
}

function placeOf({ id, keyId, signingKey }: Generation): Pick<Subkeys, 'id' | 'keyId' | 'signingKey'> {
  return { id: hex(id), keyId, signingKey }
}
