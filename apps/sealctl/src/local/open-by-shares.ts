import { randomBytes } from 'node:crypto'
import { sameBytes } from '@sealwright/bytes'
import { type Keyring, type Member, type SealKeys, unwrapSealKeys } from '@sealwright/keyring'
import { type Secret } from '@sealwright/secret'
import { beginCeremony, next, parseShare, readShareSet, type Share, shamirSealMember } from '@sealwright/shamir'
import { LocalError } from './errors.ts'

/** A keyring that was opened on this machine. */
export interface OpenedHere {
  /** Owned by the caller, who wipes them. */
  readonly sealKeys: SealKeys
  /** By which seal. */
  readonly sealName: string
  /** The cluster that the shares name, 16 bytes: their cards stand in for a record that proves the origin. */
  readonly clusterId?: Uint8Array
}

/**
 * Opens a keyring by shares. The first one says which set they are of.
 *
 * @param nextShare - the text of one more share, whose owner we become; `undefined` if there is none.
 * @param onShare - told of each share that is in.
 * @throws {@link LocalError} `LOCAL_NO_SHARES`, `LOCAL_SEAL_UNKNOWN`; {ShamirError} for a share that is not right.
 */
export async function openByShares(
  keyring: Keyring,
  nextShare: () => Promise<Secret | undefined>,
  onShare: (progress: { readonly index: number; readonly entered: number; readonly threshold: number }) => void,
  signal: AbortSignal,
): Promise<OpenedHere> {
  const first = await parsed(nextShare)
  const { member, sealName } = setOf(keyring, first)
  const set = readShareSet({ clusterId: keyring.clusterId, member })
  const nonce = randomBytes(16).toString('hex')
  let ceremony = next(beginCeremony({ set, nonce }), { kind: 'share', nonce, share: first })
  onShare({ index: first.index, entered: 1, threshold: set.threshold })
  try {
    while (ceremony.kind === 'collecting') {
      signal.throwIfAborted()
      const share = await parsed(nextShare)
      const { index } = share
      ceremony = next(ceremony, { kind: 'share', nonce, share })
      const entered = ceremony.kind === 'collecting' ? ceremony.shares.length : set.threshold
      onShare({ index, entered, threshold: set.threshold })
    }
  } catch (error) {
    next(ceremony, { kind: 'reset', nonce })
    throw error
  }
  if (ceremony.kind === 'failed') throw ceremony.error
  using privateKey = ceremony.privateKey
  const sealKeys = await unwrapSealKeys({
    ...{ keyring, sealId: member.sealId, signal },
    member: shamirSealMember({ privateKey }),
  })
  return { sealKeys, sealName, clusterId: set.clusterId }
}

async function parsed(nextShare: () => Promise<Secret | undefined>): Promise<Share> {
  using text = await nextShare()
  if (text !== undefined) return text.reveal(parseShare)
  throw new LocalError('LOCAL_NO_SHARES', 'more shares are needed, and none came: nothing was opened or written')
}

function setOf(keyring: Keyring, share: Share): { readonly member: Member; readonly sealName: string } {
  const member = keyring.members.find(
    ({ memberId, state }) => state === 'active' && sameBytes(memberId, share.memberId),
  )
  const seal = keyring.seals.find(({ sealId }) => member !== undefined && sameBytes(sealId, member.sealId))
  if (member !== undefined && seal !== undefined) return { member, sealName: seal.name }
  share.value.wipe()
  throw new LocalError(
    'LOCAL_SEAL_UNKNOWN',
    'this share is of no set that the keyring knows: it belongs to another cluster, or is older or newer than the keyring that was brought',
  )
}
