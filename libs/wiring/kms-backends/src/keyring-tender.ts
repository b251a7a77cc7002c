import { hostname } from 'node:os'
import { decodeKeyring, encodeKeyring, type OpenKmsKeyring } from '@sealwright/keyring'
import {
  classifySealFailure,
  mayNeedTending,
  openKeyringStore,
  proveThrough,
  tendSeals,
  unwrapThroughAny,
} from '@sealwright/node-seals'
import { StoreError } from '@sealwright/seal-store'
import { randomKeyBytes } from '@sealwright/secret'
import { type SealFailure } from '@sealwright/unseal'
import { type KeyringEvent } from './keyring-events.ts'
import { type KeyringOpener } from './keyring-opener.ts'
import { type StoredKeyring } from './keyring-store.ts'

/** What came of looking after the seals of this node. */
export type Tending =
  /** Nothing is missing that this node could give. */
  | { readonly kind: 'nothing-to-do' }
  /** Something is missing, and could not be given now. */
  | { readonly kind: 'try-again' }
  | { readonly kind: 'tended'; readonly stored: StoredKeyring }

/**
 * Gives the devices of this node the records that they lack, proves these and writes the store. So a device that was away when the key was
 * rotated opens alone again. Nothing is asked of a device unless something may be missing.
 *
 * @param stored - as the store has it, and open as `open`.
 * @throws {StoreError}; {KeyringError}.
 */
export async function tendKeyring(
  {
    storePath,
    stored,
    open,
  }: { readonly storePath: string; readonly stored: StoredKeyring; readonly open: OpenKmsKeyring },
  { opener, onEvent }: { readonly opener: KeyringOpener; readonly onEvent: (event: KeyringEvent) => void },
  signal: AbortSignal,
): Promise<Tending> {
  const { keyring } = stored
  const held = new Set(open.generations.filter(({ key }) => key !== undefined).map(({ number }) => number))
  const keyIds = keyring.generations.filter(({ number }) => held.has(number)).map(({ keyId }) => keyId)
  const seals = await opener.willing()
  if (!mayNeedTending(keyring, seals, keyIds)) {
    // One that is not willing now may lack something: its PIN file has to be mended first.
    return { kind: seals.length === opener.sealNames.length ? 'nothing-to-do' : 'try-again' }
  }

  const note = (sealName: string, failure: SealFailure): void => {
    opener.noteFailure(sealName, failure)
  }
  const unwrapped = await unwrapThroughAny(seals, keyring, {
    signal,
    onFailure: ({ sealName, ...failure }) => {
      note(sealName, failure)
    },
  })
  if (unwrapped === undefined) return { kind: 'try-again' }
  using sealKeys = unwrapped.sealKeys
  // One that just failed must not be asked again with the same PIN.
  const asked = await opener.willing()
  const surroundings = { now: Date.now, randomBytes: randomKeyBytes, signal }
  const tended = await tendSeals({ ...surroundings, keyring, sealKeys, seals: asked, label: hostname() })
  for (const [name, failure] of tended.failures) note(name, failure)
  if (tended.failures.size > 0) onEvent({ kind: 'not-tended', failures: tended.failures })
  if (tended.renewed.length === 0) {
    const wereAllAsked = tended.failures.size === 0 && asked.length === opener.sealNames.length
    return { kind: wereAllAsked ? 'nothing-to-do' : 'try-again' }
  }

  const bytes = encodeKeyring(tended.keyring)
  await using store = await openKeyringStore(storePath)
  await store.writeKeyring({
    ...{ bytes, expectedCurrent: stored.bytes, signal },
    prove: async readBack => {
      const next = decodeKeyring(readBack)
      for (const seal of asked.filter(({ name }) => tended.renewed.includes(name))) {
        try {
          await proveThrough(seal, { former: keyring, keyring: next }, signal)
        } catch (error) {
          signal.throwIfAborted()
          note(seal.name, classifySealFailure(error))
          throw error
        }
      }
    },
  })
  onEvent({ kind: 'tended', sealNames: tended.renewed })
  return { kind: 'tended', stored: { bytes, keyring: tended.keyring } }
}

/** Whether somebody else has changed the store meanwhile: then there is nothing to report. */
export function isOvertaken(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'STORE_CHANGED'
}
