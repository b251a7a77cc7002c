import { decryptEnvelope, encryptEnvelope, EnvelopeError, type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { textBytes } from '@sealwright/bytes'
import { deriveLinkKey, isKeyOf } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type Link } from './keyring.ts'

/** The two generations that a link joins, parent and child. */
export interface LinkEnds {
  readonly clusterId: Uint8Array
  readonly from: Generation
  readonly to: Generation
}

/**
 * Wraps a seal key under the one before it.
 *
 * @param input.nextSealKey - the key of `ends.to`.
 * @param input.sealKey - the key of `ends.from`. Both stay the caller's.
 * @returns A link around an envelope of purpose `keyring-link`.
 * @see docs/formats/keyring.md §7.2
 */
export function makeLink(input: {
  readonly nextSealKey: Secret
  readonly sealKey: Secret
  readonly ends: LinkEnds
  readonly randomBytes: RandomBytes
}): Link {
  const { nextSealKey, sealKey, ends, randomBytes } = input
  const key = deriveLinkKey(sealKey, ends.clusterId)
  try {
    const wrappedKey = nextSealKey.reveal(plaintext =>
      encryptEnvelope({
        key,
        purpose: 'keyring-link',
        keyRef: textBytes(ends.from.keyId),
        context: linkContext(ends),
        plaintext,
        randomBytes,
      }),
    )
    return { toId: ends.to.id, wrappedKey }
  } finally {
    key.wipe()
  }
}

/**
 * Unwraps the seal key that a link holds, and checks that it is that of the generation it leads to.
 *
 * @param sealKey - of `ends.from`; stays the caller's.
 * @returns The seal key of `ends.to`, owned by the caller.
 * @throws {@link KeyringError} `KEYRING_LINK_BROKEN`.
 */
export function followLink(link: Link, sealKey: Secret, ends: LinkEnds): Secret {
  const next = openLink(link, sealKey, ends)
  if (isKeyOf(ends.to, next)) return next
  next.wipe()
  throw broken(ends)
}

function openLink(link: Link, sealKey: Secret, ends: LinkEnds): Secret {
  const key = deriveLinkKey(sealKey, ends.clusterId)
  try {
    const context = linkContext(ends)
    return new Secret(decryptEnvelope({ key, purpose: 'keyring-link', context, bytes: link.wrappedKey }))
  } catch (cause) {
    if (cause instanceof EnvelopeError) throw broken(ends, { cause })
    throw cause
  } finally {
    key.wipe()
  }
}

function linkContext({ clusterId, from, to }: LinkEnds): readonly Uint8Array[] {
  return [clusterId, from.id, to.id]
}

function broken({ from, to }: LinkEnds, options?: ErrorOptions): KeyringError {
  return new KeyringError(
    'KEYRING_LINK_BROKEN',
    `the link from generation ${from.number} (${from.keyId}) to ${to.number} (${to.keyId}) was changed or belongs elsewhere`,
    options,
  )
}
