import { createHash, randomBytes } from 'node:crypto'

import { EnvelopeError } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { addGeneration } from '../add-generation.ts'
import { addRecord, type RecordInput, type Surroundings } from '../add-record.ts'
import { authenticate } from '../authenticate.ts'
import { createKeyring } from '../create-keyring.ts'
import { deriveMacKey } from '../key-schedule.ts'
import { KeyringError } from '../keyring-error.ts'
import { findSeal, type Keyring } from '../keyring.ts'
import { matchSealKey, SealKeys } from '../seal-keys.ts'
import { type FakeMember } from './fake-member.ts'

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

/** `keyring` with one more record, made with the plain seal key of any of its generations. */
export async function withRecord(
  keyring: Keyring,
  sealKey: Secret,
  record: RecordInput & { readonly generation: number },
): Promise<Keyring> {
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    return await addRecord({ ...record, ...surroundings, keyring, sealKeys })
  } finally {
    sealKeys.wipe()
  }
}

/** A keyring and the seal key of its current generation. */
export interface Sample {
  readonly keyring: Keyring
  readonly sealKey: Secret
}

/** One generation later, by a link that wraps the new key. */
export function rotated({ keyring, sealKey }: Sample): Sample {
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    return addGeneration({ keyring, sealKeys, randomBytes })
  } finally {
    sealKeys.wipe()
  }
}

/** One generation later, by an endorsement: it is still being handed out, and these members have records of it. */
export async function handingOut({ keyring, sealKey }: Sample, members: readonly FakeMember[]): Promise<Sample> {
  const sealKeys = matchSealKey({ keyring, sealKey })
  const { currentGeneration } = keyring
  const added = addGeneration({ keyring, sealKeys, link: 'endorsement', randomBytes })
  const both = new SealKeys(
    new Map([
      [currentGeneration, sealKeys.of(currentGeneration)],
      [currentGeneration + 1, added.sealKey],
    ]),
  )
  let next = added.keyring
  for (const member of members) {
    const record = { ...recordFor(member), generation: currentGeneration + 1 }
    next = await addRecord({ ...record, ...surroundings, keyring: next, sealKeys: both })
  }
  return { keyring: next, sealKey: added.sealKey }
}

/** One generation later, over a chain that was broken on purpose: only these members come along. */
export async function broken(sample: Sample, members: readonly FakeMember[]): Promise<Sample> {
  const { keyring, sealKey } = await handingOut(sample, members)
  const change = { revision: keyring.revision + 1, currentGeneration: keyring.currentGeneration + 1 }
  return { keyring: authenticate({ ...keyring, ...change }, deriveMacKey(sealKey, keyring.clusterId)), sealKey }
}

/** The id of the seal of this name. */
export function sealIdOf(keyring: Keyring, name = 'tpm'): Uint8Array {
  const seal = findSeal(keyring, name)
  if (seal === undefined) throw new Error(`no seal ${name}`)
  return seal.sealId
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
