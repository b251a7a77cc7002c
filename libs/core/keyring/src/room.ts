import { encodeContents } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { type Keyring, type KeyringContents, MAC_BYTES } from './keyring.ts'

/**
 * How far a keyring may be filled. Seals and members have no such bound: a break adds none, and sweeps those away that are removed.
 */
interface Room {
  readonly generations: number
  readonly records: number
  /** Of the encoding, with its MAC. */
  readonly bytes: number
  readonly revision: number
  /** The highest of all entries. */
  readonly entryVersion: number
}

/**
 * What everything but a break may fill. Of the bytes 272 KiB stay for records of the next generation: those of 100 nodes with four seals of
 * their own need 270.5.
 */
const FOR_CHANGES: Room = {
  generations: 224,
  records: 3_072,
  bytes: 573_440,
  revision: 2 ** 52,
  entryVersion: 2 ** 31,
}

/**
 * How full a keyring from elsewhere may be that comes after a break which is not known here. Whoever has the key of the current generation
 * can make a break of their own: after that, too, the operator's next break must find room.
 */
const FOR_BREAKS_OF_OTHERS: Room = {
  generations: 240,
  records: 3_584,
  bytes: 786_432,
  revision: 2 ** 52 + 2 ** 51,
  entryVersion: 2 ** 31 + 2 ** 30,
}

/** How far a number goes on from where it is, above its bound: changes must still be told to the other nodes. */
const MAX_REVISION_STEP = 2 ** 20
const MAX_ENTRY_VERSION_STEP = 64

/**
 * Refuses a change, or what a merge makes, that takes the room of a break. What is as full as it was, or less, passes.
 *
 * @param before - what this node has now.
 * @throws {@link KeyringError} `KEYRING_NO_ROOM`.
 * @see docs/formats/keyring.md §9.1
 */
export function assertOrdinaryGrowth(before: KeyringContents, after: KeyringContents): void {
  const full = overfilled(after, before, FOR_CHANGES)
  if (full === undefined) return
  throw new KeyringError(
    'KEYRING_NO_ROOM',
    `the keyring would have ${full}: what is left is kept for a break of the chain. Look at sealctl members list and sealctl generations, ` +
      'retire generations that no blob names, and break the chain: sealctl rotate --break-chain, with --drop for each member that you do not know',
  )
}

/**
 * Refuses a keyring that came by itself, and would leave no room here for the next break.
 *
 * @param held - what this node has now, if anything: what is as full as that passes.
 * @throws {@link KeyringError} `KEYRING_NO_ROOM`.
 * @see docs/formats/keyring.md §9.1
 */
export function assertLeavesRoom(brought: Keyring, held: KeyringContents | undefined): void {
  const full = overfilled(brought, held, FOR_BREAKS_OF_OTHERS)
  if (full === undefined) return
  throw new KeyringError(
    'KEYRING_NO_ROOM',
    `a keyring that came by itself has ${full}, and would leave no room for a break of the chain. If it is the right one, bring it by ` +
      'hand: sealctl keyring import',
  )
}

/** What each bound is of, and how far above it a number goes on from where it is. */
const BOUNDS = [
  { of: 'generations', what: 'generations', step: 0 },
  { of: 'records', what: 'records', step: 0 },
  { of: 'bytes', what: 'bytes', step: 0 },
  { of: 'revision', what: 'as its revision', step: MAX_REVISION_STEP },
  { of: 'entryVersion', what: 'as the highest version of an entry', step: MAX_ENTRY_VERSION_STEP },
] as const satisfies readonly { readonly of: keyof Room; readonly what: string; readonly step: number }[]

/** What of `after` is above its bound, and more than it was; in words. */
function overfilled(after: KeyringContents, before: KeyringContents | undefined, room: Room): string | undefined {
  const now = filled(after)
  const above = BOUNDS.filter(({ of }) => now[of] > room[of])
  if (above.length === 0) return undefined
  const former = before === undefined ? undefined : filled(before)
  const over = above.find(({ of, step }) => former === undefined || now[of] > former[of] + step)
  return over === undefined ? undefined : `${now[over.of]} ${over.what}, above the ${room[over.of]} that are allowed`
}

function filled(contents: KeyringContents): Room {
  const { generations, seals, members, records, revision } = contents
  return {
    ...{ generations: generations.length, records: records.length, revision },
    bytes: encodeContents(contents).byteLength + MAC_BYTES,
    entryVersion: Math.max(0, ...[...seals, ...members, ...records].map(({ entryVersion }) => entryVersion)),
  }
}
