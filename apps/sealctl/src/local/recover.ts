import { hostname } from 'node:os'
import { findMember, type Keyring } from '@sealwright/keyring'
import { adoptKeyring, type Adopted, type ConfiguredSeal, unwrapThroughAny } from '@sealwright/node-seals'
import { type Secret } from '@sealwright/secret'
import { hasErrorCode } from '@sealwright/system-error'
import { reasonOf } from './cluster-id.ts'
import { LocalError } from './errors.ts'
import { openByShares, type OpenedHere } from './open-by-shares.ts'
import { type KeyringPlace } from './open-node.ts'

/** What a recovery did. */
export interface Recovered extends Adopted {
  readonly openedBy: string
  /** What the TPMs of this node are called in the keyring, by the names of their seals. */
  readonly labels: ReadonlyMap<string, string>
}

/** What a recovery works with. */
export interface RecoveryInput {
  readonly config: Pick<KeyringPlace, 'store'>
  /** Of the configuration, that are not disabled. */
  readonly seals: readonly ConfiguredSeal[]
  readonly keyring: Keyring
  /** 16 bytes, if an operator or the configuration says which cluster it must be. */
  readonly clusterId: Uint8Array | undefined
  /** Whether shares are to be used at once, without asking the seals of this node. */
  readonly byShares: boolean
  /** The text of one more share, whose owner we become; `undefined` if there is none. */
  readonly nextShare: () => Promise<Secret | undefined>
  /** Told of what happens, in a line for people. */
  readonly onProgress: (line: string) => void
  /** For a member that is new; one that is listed keeps its own. Absent: the host's name. */
  readonly label: string | undefined
  /** Throws for a keyring that this node must not have. */
  readonly assertFit?: (keyring: Keyring) => void
}

/**
 * Makes a keyring that was brought to this machine its own: opens it by a seal of this node, else by shares; gives each seal of this node
 * a record, proves it, writes the store. Nothing else is needed, and no other node.
 *
 * @throws {@link LocalError}, {EnrolmentError}, {KeyringError}, {StoreError}, {ShamirError}. After each the store is as it was.
 */
export async function recover(input: RecoveryInput, signal: AbortSignal): Promise<Recovered> {
  const { config, keyring, label = hostname() } = input
  const memberIds = new Map<string, Uint8Array>()
  const seals = input.seals.map(seal => noticing(seal, memberIds))
  const opened = await open(input, signal)
  using sealKeys = opened.sealKeys
  const clusterId = input.clusterId ?? opened.clusterId
  const { assertFit = () => undefined } = input
  const brought = { keyring, sealKeys, clusterId, seals, storePath: config.store, label, assertFit }
  const adopted = await adoptKeyring(brought, signal).catch((error: unknown) => {
    throw hasErrorCode(error, 'KEYRING_KEY_UNKNOWN') ? storeNewer(config.store, error) : error
  })
  return { ...adopted, openedBy: opened.sealName, labels: labelsOf(adopted.keyring, memberIds) }
}

/** Remembers which device a seal has. */
function noticing(seal: ConfiguredSeal, memberIds: Map<string, Uint8Array>): ConfiguredSeal {
  return {
    ...seal,
    withLocalMember: (options, use) =>
      seal.withLocalMember(options, async member => {
        if (seal.type === 'tpm') memberIds.set(seal.name, Uint8Array.from(member.memberId))
        return await use(member)
      }),
  }
}

function labelsOf(keyring: Keyring, memberIds: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, string> {
  return new Map(
    [...memberIds].flatMap(([sealName, id]) => {
      const member = findMember(keyring, sealName, id)
      return member?.state === 'active' ? [[sealName, member.label] as const] : []
    }),
  )
}

function storeNewer(storePath: string, cause: unknown): LocalError {
  return new LocalError(
    'LOCAL_STORE_NEWER',
    `the keyring in ${storePath} has a generation that the brought one does not reach: it is newer, and was left as it is. Start the agent ` +
      'with it, or bring a newer snapshot; only if its seals are lost, move it away and run this again',
    { cause },
  )
}

async function open(input: RecoveryInput, signal: AbortSignal): Promise<OpenedHere> {
  const { keyring, seals, byShares, nextShare, onProgress } = input
  const reasons: string[] = []
  if (!byShares) {
    const opened = await unwrapThroughAny(seals, keyring, {
      signal,
      onFailure(failure) {
        const reason = reasonOf(failure, input.clusterId)
        reasons.push(reason)
        onProgress(`does not open: ${reason}`)
      },
    })
    if (opened !== undefined) return opened
  }
  const hasShares = keyring.seals.some(({ sealType, state }) => sealType === 'shamir' && state === 'active')
  if (!hasShares) {
    throw new LocalError(
      'LOCAL_NOT_OPENED',
      `no seal of this node opens the keyring, and it has no shares (${reasons.join('; ')}): configure a seal that has a record in it`,
    )
  }
  return await openByShares(
    keyring,
    nextShare,
    ({ index, entered, threshold }) => {
      onProgress(`share ${index} is in: ${entered} of ${threshold}`)
    },
    signal,
  )
}
