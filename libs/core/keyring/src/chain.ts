import { parseEnvelope } from '@sealwright/envelope'

import { KEY_CHECK_BYTES, type KeyringContents, type Link } from './keyring.ts'

/**
 * What a link carries: the next seal key itself, or only the word of the generation before it for the next key check. The
 * second is continuity without the key, for a chain that is broken on purpose.
 */
export type LinkKind = 'wrapped-key' | 'endorsement'

/** Which of the two a link is: the length of its contents tells. Authentic once the link was followed. */
export function linkKindOf({ wrappedKey }: Link): LinkKind {
  return parseEnvelope(wrappedKey).ciphertext.byteLength === KEY_CHECK_BYTES ? 'endorsement' : 'wrapped-key'
}

/** The lowest generation from which wrapped keys lead to `generation`; itself if an endorsement is right below it. */
export function chainStart({ links }: Pick<KeyringContents, 'links'>, generation: number): number {
  const wrapping = new Set(links.filter(link => linkKindOf(link) === 'wrapped-key').map(({ from }) => from))
  let lowest = generation
  while (wrapping.has(lowest - 1)) lowest -= 1
  return lowest
}
