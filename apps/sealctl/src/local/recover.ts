import { hostname } from 'node:os'
import { type Keyring } from '@sealwright/keyring'
import { type NodeConfig } from '@sealwright/node-config'
import { adoptKeyring, type Adopted, type ConfiguredSeal, unwrapThroughAny } from '@sealwright/node-seals'
import { type Secret } from '@sealwright/secret'
import { LocalError } from './errors.ts'
import { openByShares, type OpenedHere } from './open-by-shares.ts'

/** What a recovery did. */
export interface Recovered extends Adopted {
  readonly openedBy: string
}

/** What a recovery works with. */
export interface RecoveryInput {
  readonly config: NodeConfig
  /** Of the configuration, that are not disabled. */
  readonly seals: readonly ConfiguredSeal[]
  readonly keyring: Keyring
  /** 16 bytes, if an operator says which cluster it must be. */
  readonly clusterId: Uint8Array | undefined
  /** Whether shares are to be used at once, without asking the seals of this node. */
  readonly byShares: boolean
  /** The text of one more share, whose owner we become; `undefined` if there is none. */
  readonly nextShare: () => Promise<Secret | undefined>
  /** Told of what happens, in a line for people. */
  readonly onProgress: (line: string) => void
  readonly label?: string
}

/**
 * Makes a keyring that was brought to this machine its own: opens it by a seal of this node, else by shares; gives each seal of this node
 * a record, proves it, writes the store. Nothing else is needed, and no other node.
 *
 * @throws {@link LocalError}, {EnrolmentError}, {KeyringError}, {StoreError}, {ShamirError}. After each the store is as it was.
 */
export async function recover(input: RecoveryInput, signal: AbortSignal): Promise<Recovered> {
  const { config, seals, keyring, label = hostname() } = input
  const opened = await open(input, signal)
  using sealKeys = opened.sealKeys
  const configured = config.clusterId === undefined ? undefined : Buffer.from(config.clusterId, 'hex')
  const clusterId = input.clusterId ?? configured ?? opened.clusterId
  const adopted = await adoptKeyring({ keyring, sealKeys, clusterId, seals, storePath: config.store, label }, signal)
  return { ...adopted, openedBy: opened.sealName }
}

async function open(input: RecoveryInput, signal: AbortSignal): Promise<OpenedHere> {
  const { keyring, seals, byShares, nextShare, onProgress } = input
  const reasons: string[] = []
  if (!byShares) {
    const opened = await unwrapThroughAny(seals, keyring, {
      signal,
      onFailure({ sealName, code, message }) {
        reasons.push(`${sealName}: ${code}: ${message}`)
        onProgress(`${sealName} does not open it: ${code}: ${message}`)
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
