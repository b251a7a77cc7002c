import { hex, sameBytes } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type EntryState, type GenerationState, type GenerationStep, type RecordMethod } from './registry.ts'
import { type SealType } from './seal.ts'

/**
 * Longest encoded keyring, in bytes: 832 KiB. It rides in the blobs that OpenBao stores, and an entry of its raft storage holds 1 MiB by
 * default. A node with a TPM, a token, a transit key and a set of five shares of its own needs some 4,860 bytes, and 2,770 more while a break
 * of the chain keeps two generations: 100 such nodes fit. How much of it is kept free for a break says `room.ts`.
 */
export const MAX_KEYRING_BYTES = 851_968
/** Longest name of a key, a seal or a member, in bytes. */
export const MAX_NAME_BYTES = 64
/** Most generations, the retired ones counted: what the current one comes after stays listed, since each vouches for the next. */
export const MAX_GENERATIONS = 256
/** Most seals, the removed ones counted. */
export const MAX_SEALS = 64
/** Most members of all seals together, the removed ones counted. */
export const MAX_MEMBERS = 1_024
/** Most records. */
export const MAX_RECORDS = 4_096
/** Longest public key of a member, in bytes. An X-Wing key has 1,216, a SPKI of RSA-4096 has 550. */
export const MAX_WRAPPING_KEY_BYTES = 4_096
/** Longest data of a member, in bytes. */
export const MAX_MEMBER_DATA_BYTES = 8_192
/** Longest sealed KEK, in bytes. */
export const MAX_SEALED_KEK_BYTES = 8_192
/** Longest wrapped key, in bytes: an envelope around 32 bytes. */
export const MAX_WRAPPED_KEY_BYTES = 256
/** Length of an Ed25519 public key, in bytes. */
export const SIGNING_KEY_BYTES = 32
/** Length of an Ed25519 signature, in bytes. */
export const SIGNATURE_BYTES = 64
/** Length of the MAC at the end, in bytes: HMAC-SHA-256. */
export const MAC_BYTES = 32

/** One generation of the seal key: a step in a lineage that goes back to the first key of the cluster. */
export interface Generation {
  /** How many steps there are from the first generation, which is 1. Two nodes that rotate at once make two of one number. */
  readonly number: number
  /** 16 bytes that recognise the seal key of this generation and tell nothing about it. */
  readonly id: Uint8Array
  /** Id of the generation before it; 16 zero bytes in the first. */
  readonly parentId: Uint8Array
  /** `broken`: no link leads here, on purpose, because the key before it may be in wrong hands. */
  readonly step: GenerationStep
  readonly state: GenerationState
  /** What OpenBao is told, and stores beside each blob. Never changes: 1 to 64 printable ASCII characters, no space. */
  readonly keyId: string
  /** 32 bytes, Ed25519: checks what this generation says of the next ones. Its private half follows from the seal key. */
  readonly signingKey: Uint8Array
  /** 64 bytes: the word of the generation before for all of this but `state`; the first one signs for itself. */
  readonly signature: Uint8Array
}

/** A named seal. */
export interface Seal {
  /** 16 bytes; never changes. */
  readonly sealId: Uint8Array
  /** 1, 2, …: grows with each change of this entry; the higher one wins a merge. */
  readonly entryVersion: number
  readonly state: EntryState
  readonly sealType: SealType
  /** May change. Unique among the active seals: 1 to 64 printable ASCII characters, no space. */
  readonly name: string
}

/** One member of a seal: a TPM, a token, a transit key, a set of shares. */
export interface Member {
  readonly sealId: Uint8Array
  /** 16 bytes; never changes. */
  readonly memberId: Uint8Array
  readonly entryVersion: number
  readonly state: EntryState
  /** For people, such as the node's name. May change: 1 to 64 printable ASCII characters, no space. */
  readonly label: string
  /** The public key that others wrap for this member with, in the form of its seal type; empty if there is none. */
  readonly wrappingKey: Uint8Array
  /** What the seal type wants kept for this member and all may read, such as the check values of shares; may be empty. */
  readonly data: Uint8Array
}

/** A way in: the seal key of one generation, wrapped under a KEK that one member keeps. */
export interface KeyringRecord {
  readonly sealId: Uint8Array
  readonly memberId: Uint8Array
  /** 16 bytes: of the generation. */
  readonly generationId: Uint8Array
  readonly entryVersion: number
  readonly method: RecordMethod
  /** Milliseconds since 1970, by the clock of the node that made it. For people. */
  readonly createdAtMs: number
  /** The KEK as the member sealed it: 1 to 8,192 bytes, opaque here. */
  readonly sealedKek: Uint8Array
  /** An envelope of purpose `keyring-record` around the 32 bytes of the seal key. */
  readonly wrappedKey: Uint8Array
}

/** A step of the forward chain: a seal key, wrapped under the key of the generation before it. */
export interface Link {
  /** 16 bytes: the generation whose key it holds. It comes from that one's parent. */
  readonly toId: Uint8Array
  /** An envelope of purpose `keyring-link` around the 32 bytes of the seal key. */
  readonly wrappedKey: Uint8Array
}

/** Everything in a keyring that its MAC covers. */
export interface KeyringContents {
  /** 16 bytes; never changes. */
  readonly clusterId: Uint8Array
  /** 1, 2, …: grows with each change. */
  readonly revision: number
  /** All there ever were, but for what a break has swept away; sorted by number, then id. */
  readonly generations: readonly Generation[]
  /** Sorted by id, as all lists below: a keyring has exactly one encoding. */
  readonly seals: readonly Seal[]
  readonly members: readonly Member[]
  readonly records: readonly KeyringRecord[]
  readonly links: readonly Link[]
}

/**
 * A keyring: an immutable value that says who can open the cluster. It holds no plain key.
 *
 * `mac` is a claim until a seal key has checked it: {@link OpenKeyring} and {@link SealKeys} do.
 */
export interface Keyring extends KeyringContents {
  /** 32 bytes: HMAC-SHA-256 over all the rest, under the current seal key. */
  readonly mac: Uint8Array
}

/** The active seal of this name. */
export function findSeal(keyring: KeyringContents, name: string): Seal | undefined {
  return keyring.seals.find(seal => seal.state === 'active' && seal.name === name)
}

/** The member as the active seal of this name lists it, removed or not. One device may be a member of several seals. */
export function findMember(keyring: KeyringContents, sealName: string, memberId: Uint8Array): Member | undefined {
  const seal = findSeal(keyring, sealName)
  return keyring.members.find(
    member => seal !== undefined && sameBytes(member.sealId, seal.sealId) && sameBytes(member.memberId, memberId),
  )
}

/** The records of one member of one seal. */
export function findRecords(
  keyring: KeyringContents,
  { sealId, memberId }: { readonly sealId: Uint8Array; readonly memberId: Uint8Array },
): readonly KeyringRecord[] {
  return keyring.records.filter(record => sameBytes(record.sealId, sealId) && sameBytes(record.memberId, memberId))
}

/** All records of the active seal of this name, by whichever member. */
export function findSealRecords(keyring: KeyringContents, sealName: string): readonly KeyringRecord[] {
  const seal = findSeal(keyring, sealName)
  return keyring.records.filter(({ sealId }) => seal !== undefined && sameBytes(sealId, seal.sealId))
}

/** What a member, or the member that a record is of, is looked up by. */
export function memberKey({ sealId, memberId }: Pick<Member, 'sealId' | 'memberId'>): string {
  return hex(sealId) + hex(memberId)
}

/** The generation of this id. */
export function findGeneration(keyring: KeyringContents, id: Uint8Array): Generation | undefined {
  return keyring.generations.find(generation => sameBytes(generation.id, id))
}

/**
 * The generation of this id, where the keyring cannot be without it.
 *
 * @throws {@link KeyringError} `KEYRING_MALFORMED`.
 */
export function requireGeneration(keyring: KeyringContents, id: Uint8Array): Generation {
  const generation = findGeneration(keyring, id)
  if (generation !== undefined) return generation
  throw new KeyringError('KEYRING_MALFORMED', `not a keyring: generation ${hex(id)} is not listed`)
}

/**
 * The generation that a caller names by its id.
 *
 * @throws {@link KeyringError} `KEYRING_INPUT_INVALID`.
 */
export function chosenGeneration(keyring: KeyringContents, id: Uint8Array): Generation {
  const generation = findGeneration(keyring, id)
  if (generation !== undefined) return generation
  throw new KeyringError('KEYRING_INPUT_INVALID', `generation ${hex(id)} is not listed`)
}
