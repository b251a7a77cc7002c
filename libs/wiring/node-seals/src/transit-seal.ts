import { sameBytes } from '@sealwright/bytes'
import { findRecords, findSeal, type Keyring, type Member, type SealMember } from '@sealwright/keyring'
import { type TransitSealConfig } from '@sealwright/node-config'
import type * as OpenBao from '@sealwright/openbao'
import { type ConfiguredSeal } from './configured-seal.ts'
import { isUnreadable, noRecord } from './seal-records.ts'
import { transitConnection } from './transit-connection.ts'

type OpenBaoLibrary = typeof OpenBao

/** The way to a transit key, and the library that it was made with. */
interface Connected {
  readonly library: OpenBaoLibrary
  readonly access: OpenBao.TransitAccess
}

/**
 * Makes a seal from its configuration. Nothing is sent before it is used; an HTTP client is loaded with the first use, and closed
 * with the seal.
 */
export function transitSeal(config: TransitSealConfig): ConfiguredSeal {
  const { name, type, priority, disabled } = config
  let connecting: Promise<Connected> | undefined

  const connect = (): Promise<Connected> => {
    connecting ??= import('@sealwright/openbao').then(library => ({
      library,
      access: library.openTransit(accessOptions(config)),
    }))
    connecting.catch(() => {
      connecting = undefined
    })
    return connecting
  }

  /** The one of the members whose records this key opens. Asking is harmless, however often it is refused. */
  const recognised = async (keyring: Keyring, signal: AbortSignal): Promise<SealMember> => {
    const { library, access } = await connect()
    let refusal: Error = noRecord(name)
    for (const member of membersOf(keyring, name)) {
      const candidate = library.transitSealMember({ access, memberId: member.memberId })
      const [newest] = newestFirst(findRecords(keyring, member))
      if (newest === undefined) continue
      try {
        const kek = await candidate.unsealKek(newest.sealedKek, { signal, method: newest.method })
        kek.wipe()
        return candidate
      } catch (error) {
        if (!isOtherKey(error) && !isUnreadable(error)) throw error
        refusal = error
      }
    }
    throw refusal
  }

  return {
    ...{ name, type, priority, disabled },
    hasPin: false,
    compareConditions: () => 'same',
    enrolledDevices: () => [],
    async withLocalMember({ knownIn, signal }, use) {
      if (knownIn !== undefined && membersOf(knownIn, name).length > 0)
        return await use(await recognised(knownIn, signal))
      const { library, access } = await connect()
      const { memberId } = await library.readTransitIdentity(access, { signal })
      return await use(library.transitSealMember({ access, memberId }))
    },
    async withRecordedMember(keyring, signal, use) {
      const seal = findSeal(keyring, name)
      const members = membersOf(keyring, name)
      const [only] = members
      if (seal === undefined || only === undefined) throw noRecord(name)
      const { library, access } = await connect()
      // With one member there is no choice: one question less.
      const member =
        members.length === 1
          ? library.transitSealMember({ access, memberId: only.memberId })
          : await recognised(keyring, signal)
      return await use(member, seal.sealId)
    },
    async [Symbol.asyncDispose]() {
      const connected = await connecting?.catch(() => undefined)
      await connected?.access.close()
    },
  }
}

function accessOptions(config: TransitSealConfig): OpenBao.TransitOptions {
  const { address, mountPath, namespace, keyName, deadlineMs: timeoutMs } = config
  return {
    ...{ address, mountPath, keyName, timeoutMs },
    ...(namespace === undefined ? {} : { namespace }),
    ...transitConnection(config, [address]),
  }
}

/** The members of a seal that have records, as the keyring lists them. */
function membersOf(keyring: Keyring, sealName: string): readonly Member[] {
  const seal = findSeal(keyring, sealName)
  return keyring.members.filter(
    member =>
      member.state === 'active' &&
      seal !== undefined &&
      sameBytes(member.sealId, seal.sealId) &&
      findRecords(keyring, member).length > 0,
  )
}

function newestFirst<R extends { readonly createdAtMs: number }>(records: readonly R[]): readonly R[] {
  return records.toSorted((a, b) => b.createdAtMs - a.createdAtMs)
}

function isOtherKey(error: unknown): error is OpenBao.TransitError {
  return error instanceof Error && 'code' in error && error.code === 'TRANSIT_CIPHERTEXT_REFUSED'
}
