import { createHash, randomBytes } from 'node:crypto'

import { EnvelopeError } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { activateGeneration, addGeneration, type Holding, retireGeneration } from '../add-generation.ts'
import { addRecord, type RecordInput, type Surroundings } from '../add-record.ts'
import { authenticate } from '../authenticate.ts'
import { hex, sameBytes } from '@sealwright/bytes'
import { createKeyring } from '../create-keyring.ts'
import { deriveMacKey } from '../key-schedule.ts'
import { KeyringError } from '../keyring-error.ts'
import { findSeal, type Generation, type Keyring, type KeyringContents } from '../keyring.ts'
import { currentGeneration } from '../lineage.ts'
import { mergeContents } from '../merge.ts'
import { openKeyring, type OpenKeyring } from '../open-keyring.ts'
import { type GenerationStep } from '../registry.ts'
import { type SealMember } from '../seal.ts'
import { matchSealKey, type SealKeys, unwrapSealKeys } from '../seal-keys.ts'
import { fakeMember, type FakeMember } from './fake-member.ts'

/** A signal that nobody raises. */
export const signal: AbortSignal = new AbortController().signal

export const surroundings: Surroundings = { now: () => 1_700_000_000_000, randomBytes, signal }

/** A seal key that follows from `name`; each call makes another copy. */
export function sealKeyNamed(name: string): Secret {
  return new Secret(Uint8Array.from(createHash('sha256').update(name).digest()))
}

/** What a record for a TPM says, with defaults for what a test does not care about. */
export function recordFor(member: FakeMember, change: Partial<RecordInput> = {}): RecordInput {
  return { sealName: 'tpm', member, method: 'tpm-sealed', label: 'node', ...change }
}

/** A keyring of one TPM. */
export function keyringOf(member: FakeMember, sealKey: Secret, keyId?: string): Promise<Keyring> {
  return createKeyring({ ...recordFor(member), ...surroundings, sealKey, keyId })
}

/** A keyring of one TPM, made from the seal key of this name, and that key. */
export async function begun(member: FakeMember, keyName = 'k'): Promise<Holding> {
  const keyring = await keyringOf(member, sealKeyNamed(keyName))
  return { keyring, sealKeys: matchSealKey({ keyring, sealKey: sealKeyNamed(keyName) }) }
}

/** With one more record; of the current generation, unless another is named. */
export async function withRecord(
  { keyring, sealKeys }: Holding,
  record: RecordInput & { readonly generationId?: Uint8Array },
): Promise<Holding> {
  return { keyring: await addRecord({ ...record, ...surroundings, keyring, sealKeys }), sealKeys }
}

/** With a record for each of these TPMs; of the current generation, unless another is named. */
export async function enrolled(
  holding: Holding,
  members: readonly FakeMember[],
  generationId?: Uint8Array,
): Promise<Holding> {
  let next = holding
  for (const member of members) {
    next = await withRecord(next, { ...recordFor(member), ...(generationId === undefined ? {} : { generationId }) })
  }
  return next
}

/** A holding, and the generation that was added to it last. */
export interface Added extends Holding {
  readonly generation: Generation
}

/** With one more generation, which is pending. */
export function pending({ keyring, sealKeys }: Holding, step: GenerationStep = 'chained'): Added {
  const { keyring: next, generation, sealKey } = addGeneration({ keyring, sealKeys, step, randomBytes })
  return { keyring: next, sealKeys: sealKeys.with(generation.id, sealKey), generation }
}

/** With this generation active. */
export function activated(holding: Holding, { id }: Generation): Holding {
  return { ...holding, keyring: activateGeneration({ ...holding, id }) }
}

/** One chained generation later. */
export function rotated(holding: Holding): Added {
  return withActivated(pending(holding))
}

/** One broken generation later, which is still pending: these members have records of it. */
export async function handingOut(holding: Holding, members: readonly FakeMember[]): Promise<Added> {
  const added = pending(holding, 'broken')
  return { ...added, ...(await enrolled(added, members, added.generation.id)) }
}

/** One broken generation later: only these members come along. */
export async function broken(holding: Holding, members: readonly FakeMember[]): Promise<Added> {
  return withActivated(await handingOut(holding, members))
}

function withActivated(added: Added): Added {
  return { ...activated(added, added.generation), generation: { ...added.generation, state: 'active' } }
}

/** What two nodes that rotated at once agree on: two generations of one number, both of them active. */
export function rotatedAtOnce(holding: Holding, rotate: (holding: Holding) => Holding = rotated): Holding {
  const [mine, theirs] = [rotate(holding), rotate(holding)]
  const { id } = currentGeneration(theirs.keyring)
  const sealKeys = mine.sealKeys.with(id, theirs.sealKeys.of(id))
  return changed({ keyring: mine.keyring, sealKeys }, mergeContents(mine.keyring, theirs.keyring))
}

/** With this generation retired. */
export function retired(holding: Holding, { id }: Generation): Holding {
  return { ...holding, keyring: retireGeneration({ ...holding, id }) }
}

/** Any change at all, authenticated by whoever holds the key of the generation that is current then. */
export function changed({ keyring, sealKeys }: Holding, change: Partial<KeyringContents>): Holding {
  const contents = { ...keyring, ...change }
  const macKey = deriveMacKey(sealKeys.of(currentGeneration(contents).id), contents.clusterId)
  return { keyring: authenticate(contents, macKey), sealKeys }
}

/** With one member removed: it stays listed as such. */
export function without(holding: Holding, { memberId }: FakeMember): Holding {
  const isIt = (entry: { readonly memberId: Uint8Array }) => sameBytes(entry.memberId, memberId)
  const { members, records, revision } = holding.keyring
  return changed(holding, {
    revision: revision + 1,
    members: members.map(member =>
      isIt(member)
        ? {
            ...member,
            entryVersion: member.entryVersion + 1,
            state: 'removed',
            wrappingKey: new Uint8Array(),
            data: new Uint8Array(),
          }
        : member,
    ),
    records: records.filter(record => !isIt(record)),
  })
}

/** A keyring with something of everything: two seals, a link, a break, and a generation that is pending. */
export async function variedKeyring(): Promise<Keyring> {
  const member = fakeMember('a')
  const transit = recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit', label: 'key' })
  const before = rotated(await withRecord(await begun(member), transit))
  return pending(await broken(before, [member])).keyring
}

/** The id of the seal of this name. */
export function sealIdOf(keyring: KeyringContents, name = 'tpm'): Uint8Array {
  const seal = findSeal(keyring, name)
  if (seal === undefined) throw new Error(`no seal ${name}`)
  return seal.sealId
}

type Opener = Pick<SealMember, 'memberId' | 'unsealKek'>

/** The plain seal keys that a member of the seal `tpm` reaches. */
export function unwrap(keyring: Keyring, member: Opener, options = { signal }): Promise<SealKeys> {
  return unwrapSealKeys({ keyring, sealId: sealIdOf(keyring), member, ...options })
}

/** The keyring as a member of the seal `tpm` opens it. */
export function opened(keyring: Keyring, member: Opener): Promise<OpenKeyring> {
  return openKeyring({ keyring, sealId: sealIdOf(keyring), member, signal })
}

/** The generations whose keys are held, by number; `2a` and `2b` where there are two of one number, in their order. */
export function heldBy(keyring: KeyringContents, sealKeys: SealKeys): readonly string[] {
  return namesOf(
    keyring,
    keyring.generations.filter(({ id }) => sealKeys.has(id)),
  )
}

/** The generations of the records of one member, as {@link heldBy} writes them. */
export function recordsOf(keyring: KeyringContents, { memberId }: FakeMember): readonly string[] {
  const ids = new Set(
    keyring.records.filter(record => sameBytes(record.memberId, memberId)).map(({ generationId }) => hex(generationId)),
  )
  return namesOf(
    keyring,
    keyring.generations.filter(({ id }) => ids.has(hex(id))),
  )
}

function namesOf({ generations }: KeyringContents, chosen: readonly Generation[]): readonly string[] {
  return chosen.map(({ number, id }) => {
    const siblings = generations.filter(each => each.number === number)
    const place = siblings.findIndex(each => sameBytes(each.id, id))
    return siblings.length === 1 ? `${number}` : `${number}${String.fromCharCode('a'.charCodeAt(0) + place)}`
  })
}

/** The code of the error that `run` throws or rejects with; `none` if it does not. */
export async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (error instanceof KeyringError || error instanceof EnvelopeError) return error.code
    throw error
  }
  return 'none'
}

/** As {@link codeOf}, for what answers at once. */
export function codeNow(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof KeyringError || error instanceof EnvelopeError) return error.code
    throw error
  }
  return 'none'
}
