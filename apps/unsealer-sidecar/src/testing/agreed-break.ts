import { memberSetFingerprint } from '@sealwright/control-api'
import { type Keyring } from '@sealwright/keyring'
import { memberFacts } from '../operations/facts.ts'
import { type ChainBreak } from '../operations/rotate.ts'

/**
 * A break that an operator has agreed to after looking at this keyring: with all its active members, but for those of `drop`, and with the
 * servers that its labels name.
 */
export function agreedBreak(
  { keyring }: { readonly keyring: Keyring },
  given: Partial<ChainBreak> = {},
): ChainBreak & { readonly members: string } {
  const { drop = [] } = given
  const active = memberFacts(keyring).filter(({ state }) => state === 'active')
  const staying = active.filter(({ memberId }) => !drop.includes(memberId))
  return {
    ...{ seals: [], drop, lost: [] },
    nodes: [...new Set(staying.filter(({ sealType }) => sealType === 'tpm').map(({ label }) => label))],
    ...given,
    members: given.members ?? memberSetFingerprint(staying.map(({ fingerprint }) => fingerprint)),
  }
}
