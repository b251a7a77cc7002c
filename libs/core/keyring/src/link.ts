import { decryptEnvelope, encryptEnvelope, EnvelopeError, type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { textBytes, uint32 } from './bytes.ts'
import { linkKindOf, type LinkKind } from './chain.ts'
import { deriveLinkKey, isKeyOf } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type Link } from './keyring.ts'

/** The two generations that a link joins. It is bound to all that the keyring says about the later one. */
export interface LinkEnds {
  readonly clusterId: Uint8Array
  readonly from: Generation
  readonly to: Generation
}

/**
 * Makes the link to the next generation: its seal key, wrapped under the one before it, or only an endorsement.
 *
 * @param input.nextSealKey - the key of `ends.to`; needed for a wrapped key only.
 * @returns A link around an envelope of purpose `keyring-link`, with 32 bytes inside or 16.
 * @see docs/formats/keyring.md §7.2
 */
export function makeLink(input: {
  readonly kind: LinkKind
  readonly nextSealKey: Secret
  readonly sealKey: Secret
  readonly ends: LinkEnds
  readonly randomBytes: RandomBytes
}): Link {
  const { kind, nextSealKey, sealKey, ends, randomBytes } = input
  const key = deriveLinkKey(sealKey, ends.clusterId)
  const encrypt = (plaintext: Uint8Array): Uint8Array =>
    encryptEnvelope({
      key,
      purpose: 'keyring-link',
      keyRef: textBytes(ends.from.keyId),
      context: linkContext(ends),
      plaintext,
      randomBytes,
    })
  try {
    const wrappedKey = kind === 'endorsement' ? encrypt(ends.to.keyCheck) : nextSealKey.reveal(encrypt)
    return { from: ends.from.number, wrappedKey }
  } finally {
    key.wipe()
  }
}

/**
 * Checks under the seal key of generation `from` that the next generation is the one it leads to.
 *
 * @param sealKey - of `ends.from`; stays the caller's.
 * @returns The seal key of `ends.to`, owned by the caller; nothing if the link only endorses it.
 * @throws {@link KeyringError} `KEYRING_LINK_BROKEN`.
 */
export function followLink(link: Link, sealKey: Secret, ends: LinkEnds): Secret | undefined {
  const contents = openLink(link, sealKey, ends)
  if (linkKindOf(link) === 'wrapped-key') {
    if (isKeyOf(ends.to, contents)) return contents
    contents.wipe()
    throw broken(link)
  }
  if (contents.equals(new Secret(Uint8Array.from(ends.to.keyCheck)))) return undefined
  throw broken(link)
}

function openLink(link: Link, sealKey: Secret, ends: LinkEnds): Secret {
  const key = deriveLinkKey(sealKey, ends.clusterId)
  try {
    const context = linkContext(ends)
    return new Secret(decryptEnvelope({ key, purpose: 'keyring-link', context, bytes: link.wrappedKey }))
  } catch (cause) {
    if (cause instanceof EnvelopeError) throw broken(link, { cause })
    throw cause
  } finally {
    key.wipe()
  }
}

function linkContext({ clusterId, from, to }: LinkEnds): readonly Uint8Array[] {
  return [clusterId, uint32(from.number), uint32(to.number), to.keyCheck, textBytes(to.keyId)]
}

function broken(link: Link, options?: ErrorOptions): KeyringError {
  return new KeyringError(
    'KEYRING_LINK_BROKEN',
    `generation ${link.from + 1} is not the one that generation ${link.from} leads to: the link or the generation was changed or belongs elsewhere`,
    options,
  )
}
