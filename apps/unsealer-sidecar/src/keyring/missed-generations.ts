import { sameBytes } from '@sealwright/bytes'
import { addRecord, findMember, type Generation, isSameLink, type Keyring, type OpenKeyring } from '@sealwright/keyring'
import { type ConfiguredSeal, unwrapThrough } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type Unlocked } from './custody.ts'
import { type Keyholder } from './keyholder.ts'
import { type NodeOpeners } from './node-openers.ts'
import { ownRecords } from './own-records.ts'
import { type Loser } from './store-proof.ts'

/**
 * A keyring with a new record of each generation that a seal of this node opens in the stored keyring alone, and that it does not reach from
 * another one of these. For what cannot be put back: the place of a record is empty, since its generation was called retired, or a link on the
 * way was spoilt.
 */
export async function withRecordsOfMissed(
  what: Unlocked & { readonly stored: Keyring; readonly losers: readonly Loser[] },
  by: {
    readonly holder: Keyholder<OpenKeyring>
    readonly openers: NodeOpeners
    readonly seals: readonly ConfiguredSeal[]
    readonly signal: AbortSignal
  },
): Promise<Keyring> {
  const { sealKeys, stored, losers } = what
  const { holder, openers, seals, signal } = by
  let { keyring } = what
  for (const { sealName, missed } of losers) {
    const seal = seals.find(({ name }) => name === sealName)
    const [own] = ownRecords(openers.ourMembers, keyring, sealName)
    if (seal === undefined || own === undefined || missed.length === 0) continue
    const label = findMember(keyring, sealName, own.memberId)?.label ?? sealName
    keyring = await holder.inTurn(async () => {
      // The keys of what is missed follow from the stored keyring alone.
      using storedKeys = await unwrapThrough(openers.careful(seal), stored, signal)
      return await seal.withLocalMember({ knownIn: keyring, signal }, async member => {
        let next = keyring
        for (const { id } of rootsOf(missed, { stored, keyring })) {
          using key = storedKeys.of(id).clone()
          const record = { sealName, member, method: member.method, label, generationId: id }
          const keys = sealKeys.with(id, key)
          next = await addRecord({
            ...record,
            keyring: next,
            sealKeys: keys,
            now: Date.now,
            randomBytes: randomKeyBytes,
            signal,
          })
        }
        return next
      })
    })
  }
  return keyring
}

/** Those to which no link leads from another one of them that is as it was stored. */
function rootsOf(
  missed: readonly Generation[],
  { stored, keyring }: { readonly stored: Keyring; readonly keyring: Keyring },
): readonly Generation[] {
  const linked = keyring.links.filter(link => stored.links.some(each => isSameLink(each, link)))
  return missed.filter(
    ({ id, parentId }) =>
      !(linked.some(({ toId }) => sameBytes(toId, id)) && missed.some(each => sameBytes(each.id, parentId))),
  )
}
