import { EnvelopeError, parseEnvelope, type RandomBytes } from '@sealwright/envelope'
import { KeyringError, type OpenKeyring } from '@sealwright/keyring'
import { type AgentConfig } from '@sealwright/node-config'
import { SealServiceRefusal, type SealBlob, type SealService } from '@sealwright/seal-plugin'
import { type SealFailure } from '@sealwright/unseal'
import { isKeyIdOf, keyringCarrier } from './carry.ts'

/** How long a call waits for a seal that is just opening. OpenBao repeats a `Decrypt` every 5 s, an `Encrypt` never. */
const OPENING_WAIT_MS = 2_000

/**
 * How many calls of `Encrypt` may wait like that, while an agent that was just started opens its seal. They can come from
 * people without a token, so there is an end to it; the others are refused at once.
 */
const MAX_WAITING_CALLS = 8

/**
 * How long an initialisation of OpenBao waits for a seal. OpenBao has made its raft storage by then, and cannot do that twice:
 * a refusal would leave a storage that has to be emptied by hand. Its own limit for a request is 90 s.
 */
const INITIALISE_WAIT_MS = 60_000
/** `Encrypt` is not told when OpenBao gives up; its wait is short. */
const NEVER_ABORTED = new AbortController().signal

/** Options of the `seal` stanza that the server itself consumes and hands on all the same. */
const SERVER_OPTIONS = new Set([
  'disabled',
  'purpose',
  'health_check_enabled',
  'health_check_interval',
  'health_check_interval_unhealthy',
  'health_check_timeout',
])

export interface SealServiceDependencies {
  /** What OpenBao stores as the type of its seal. Another value would make it believe in a seal migration. */
  readonly sealType: AgentConfig['sealType']
  readonly heldKeyring: () => OpenKeyring | undefined
  /** Returns when there is a keyring, or after `timeoutMs`, or when `signal` is aborted. */
  readonly waitForKeyring: (timeoutMs: number, signal: AbortSignal) => Promise<unknown>
  /** Learns from the keyring that came with a blob. What it makes of it shows in what is held. */
  readonly absorb: (keyringBytes: Uint8Array, signal: AbortSignal) => Promise<unknown>
  /** Why no seal has opened yet, best priority first. */
  readonly failures: () => readonly (SealFailure & { readonly sealName: string })[]
  /** Throws a {@link SealServiceRefusal} unless a plaintext of this length may be handed to OpenBao. */
  readonly admit: (plaintextBytes: number, signal: AbortSignal) => Promise<void>
  readonly version: string
  readonly randomBytes: RandomBytes
}

/** What OpenBao asks its seal, answered from an opened keyring in memory. */
export function sealService(dependencies: SealServiceDependencies): SealService {
  const { sealType, heldKeyring, waitForKeyring, absorb, failures, admit, version, randomBytes } = dependencies
  const carrier = keyringCarrier()
  let waitingCalls = 0

  const keyringOrRefusal = (): OpenKeyring => {
    const keyring = heldKeyring()
    if (keyring !== undefined) return keyring
    throw new SealServiceRefusal('SEAL_NOT_OPEN', 'no seal has opened yet', {
      publicMessage: 'the seal is not open yet',
    })
  }

  /** Waits a moment for a seal that is just opening; but only a few callers at a time, since anybody may call. */
  const waitForOpening = async (timeoutMs: number): Promise<void> => {
    if (heldKeyring() !== undefined || waitingCalls >= MAX_WAITING_CALLS) return
    waitingCalls += 1
    try {
      await waitForKeyring(timeoutMs, NEVER_ABORTED)
    } finally {
      waitingCalls -= 1
    }
  }

  const decryptWith = (keyring: OpenKeyring, blob: SealBlob, aad: Uint8Array): Uint8Array => {
    try {
      if (sealType === 'static' && isStatic(blob)) return keyring.decryptStaticBlob({ ...blob, aad })
      assertOurs(blob)
      return keyring.decryptBlob({ blob: blob.ciphertext, aad })
    } catch (error) {
      if (!(error instanceof KeyringError || error instanceof EnvelopeError)) throw error
      throw new SealServiceRefusal(error.code, error.message, { cause: error })
    }
  }

  /** A cluster that was taken over keeps its key id until the first rotation: nothing is encrypted anew before somebody wants it. */
  const toldKeyId = (keyring: OpenKeyring): string =>
    sealType === 'static' && keyring.current.number === 1 ? keyring.keyId : carrier.keyIdOf(keyring)

  return {
    type: sealType,
    configure(options) {
      const unknown = [...options.keys()].filter(option => !SERVER_OPTIONS.has(option))
      if (unknown.length > 0) {
        throw new SealServiceRefusal(
          'SEAL_OPTION_UNKNOWN',
          `unknown option in the stanza seal "sealwright": ${unknown.join(', ')}; seals are configured in the agent's own file`,
        )
      }
      const keyring = heldKeyring()
      return { metadata: { agent_version: version, key_id: keyring?.keyId ?? 'not open yet' } }
    },
    async prepareInitialise() {
      await waitForOpening(INITIALISE_WAIT_MS)
      keyringOrRefusal()
    },
    keyId: () => toldKeyId(keyringOrRefusal()),
    async encrypt(plaintext, aad) {
      await waitForOpening(OPENING_WAIT_MS)
      // Asked for only now, and not kept over another wait: a keyring that was replaced meanwhile is closed.
      const keyring = keyringOrRefusal()
      return {
        ciphertext: keyring.encryptBlob({ plaintext, aad, randomBytes }),
        iv: new Uint8Array(),
        keyId: toldKeyId(keyring),
        wrappedKey: carrier.keyringFor(plaintext, keyring),
        mechanism: 0n,
      }
    },
    async decrypt(blob, aad, signal) {
      // Before anything waits: to a node without a store this may be all that there is to open.
      if (blob.wrappedKey.length > 0) await absorb(blob.wrappedKey, signal)
      if (heldKeyring() === undefined) await waitForKeyring(OPENING_WAIT_MS, signal)
      // Asked for only now: a keyring that was replaced meanwhile is closed.
      const keyring = heldKeyring()
      if (keyring === undefined) throw new SealServiceRefusal('SEAL_NOT_OPEN', explain(failures()))
      const plaintext = decryptWith(keyring, blob, aad)
      try {
        await admit(plaintext.byteLength, signal)
        return plaintext
      } catch (error) {
        plaintext.fill(0)
        throw error
      }
    },
  }
}

/** Whether a blob may be one of OpenBao's own `seal "static"`. That has a nonce beside the ciphertext, which ours have inside. */
function isStatic({ iv }: SealBlob): boolean {
  return iv.length > 0
}

/**
 * OpenBao keeps the key id beside the ciphertext and decides by it whether to encrypt again. Only the one inside is
 * authenticated, so the two must agree.
 */
function assertOurs(blob: SealBlob): void {
  const { ciphertext, keyId } = blob
  if (isStatic(blob) && !isEnvelope(ciphertext)) {
    throw new SealServiceRefusal(
      'SEAL_STATIC_BLOB',
      'this blob is of OpenBao\'s own seal "static", which is decrypted only where agent.sealType is static: see docs/migration.md',
    )
  }
  const { keyRef } = parseEnvelope(ciphertext)
  if (isKeyIdOf(keyId, Buffer.from(keyRef).toString('latin1')) && !isStatic(blob)) return
  throw new SealServiceRefusal('SEAL_BLOB_CHANGED', 'what OpenBao stored beside the ciphertext was changed')
}

function isEnvelope(ciphertext: Uint8Array): boolean {
  try {
    parseEnvelope(ciphertext)
    return true
  } catch (error) {
    if (error instanceof EnvelopeError) return false
    throw error
  }
}

/** One sentence for the log of OpenBao. It names seals and codes; devices and paths stand in the agent's own log. */
function explain(failures: readonly (SealFailure & { readonly sealName: string })[]): string {
  if (failures.length === 0) return 'the seal agent is still asking its seals; OpenBao asks again by itself'
  const each = failures.map(({ sealName, code }) => `${sealName}: ${code}`).join(', ')
  return `no seal opens the keyring (${each}); see the log of the seal agent; OpenBao asks again by itself`
}
