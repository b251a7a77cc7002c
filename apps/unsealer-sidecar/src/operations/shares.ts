import { randomBytes } from 'node:crypto'
import { assertOrigin, findRecords, openKeyring, type Keyring } from '@sealwright/keyring'
import { type SealConfig } from '@sealwright/node-config'
import { type Secret } from '@sealwright/secret'
import {
  beginCeremony,
  type Ceremony,
  ceremonyStatus,
  next,
  parseShare,
  rehearse,
  type Share,
  shamirSealMember,
} from '@sealwright/shamir'
import { type CeremonyState, type RehearsalResult, type SealOperations } from '../control/operations.ts'
import { type Custody } from '../keyring/custody.ts'
import {
  chosenShamirSeal,
  faultOf,
  isOfSeal,
  type KnownShareSet,
  namesOf,
  namingRemoved,
  setFor,
  setKey,
  shareSetsOf,
} from './share-sets.ts'

/** Shares that nobody adds to are forgotten after so long: people who went home must begin anew. */
export const COLLECTING_TIMEOUT_MS = 900_000
const NONCE_BYTES = 16

/** Collects shares of people, and opens the keyring when there are enough. */
export type ShareOperations = Pick<
  SealOperations,
  'enterShare' | 'resetShares' | 'ceremonies' | 'shareSets' | 'rehearse'
> &
  Disposable

interface Collecting {
  readonly of: KnownShareSet
  readonly ceremony: Ceremony
  readonly timer: NodeJS.Timeout
}

export function shareOperations({
  custody,
  configured,
}: {
  readonly custody: Custody
  readonly configured: () => readonly SealConfig[]
}): ShareOperations {
  const collecting = new Map<string, Collecting>()

  const forget = (key: string): void => {
    const former = collecting.get(key)
    if (former === undefined) return
    clearTimeout(former.timer)
    collecting.delete(key)
    next(former.ceremony, { kind: 'reset', nonce: '' })
  }

  const keep = (of: KnownShareSet, ceremony: Ceremony): void => {
    const key = setKey(of)
    clearTimeout(collecting.get(key)?.timer)
    const timer = setTimeout(() => {
      forget(key)
    }, COLLECTING_TIMEOUT_MS).unref()
    collecting.set(key, { of, ceremony, timer })
  }

  const open = async (keyring: Keyring, of: KnownShareSet, privateKey: Secret, signal: AbortSignal): Promise<void> => {
    try {
      await custody.holder.adopt(
        of.sealName,
        async openSignal => {
          const member = shamirSealMember({ privateKey })
          const way = { keyring, sealId: of.set.sealId, member, signal: openSignal }
          const opened = await openKeyring(way, custody.opening)
          // The cards name the cluster, which stands in for a record that proves its origin.
          assertOrigin(opened, of.set.clusterId)
          return opened
        },
        signal,
      )
    } catch (error) {
      // It may be one that somebody has forged: the next share is for another that OpenBao has brought.
      if (!signal.aborted) custody.unopened(keyring, error)
      throw error
    } finally {
      privateKey.wipe()
    }
  }

  return {
    async enterShare({ sealName, nonce, share: text }, signal) {
      const keyring = await custody.known()
      const sets = shareSetsOf(keyring)
      const chosen = chosenShamirSeal(sets, configured(), sealName)
      const share = text.reveal(parseShare)
      const of = setFor(sets, chosen, share)
      const key = setKey(of)
      const before =
        collecting.get(key)?.ceremony ??
        beginCeremony({ set: of.set, nonce: randomBytes(NONCE_BYTES).toString('hex'), others: namesOf(sets) })
      const after = namingRemoved(keyring, share, () =>
        next(before, { kind: 'share', nonce: nonce ?? before.nonce, share }),
      )
      switch (after.kind) {
        case 'collecting':
          keep(of, after)
          return stateOf(of, after)
        case 'failed':
          forgetOnly(collecting, key)
          throw after.error
        case 'complete':
          forgetOnly(collecting, key)
          await open(keyring, of, after.privateKey, signal)
          return stateOf(of, after)
      }
    },

    async resetShares({ sealName }) {
      const sets = shareSetsOf(await custody.known())
      const chosen = chosenShamirSeal(sets, configured(), sealName)
      const before = [...collecting.values()].filter(({ of }) => of.sealName === chosen)
      for (const { of } of before) forget(setKey(of))
      const [first] = before
      if (first === undefined) return undefined
      return { ...stateOf(first.of, first.ceremony), entered: [], nonce: '', isComplete: false }
    },

    ceremonies: () => [...collecting.values()].map(({ of, ceremony }) => stateOf(of, ceremony)),

    async shareSets(sealName) {
      const keyring = await custody.known()
      return shareSetsOf(keyring)
        .filter(of => of.sealName === sealName && findRecords(keyring, of.set).length > 0)
        .map(of => {
          const ceremony = collecting.get(setKey(of))?.ceremony
          return ceremony === undefined ? notBegun(of) : stateOf(of, ceremony)
        })
    },

    async rehearse({ sealName, shares: texts }): Promise<RehearsalResult> {
      const keyring = await custody.known()
      const sets = shareSetsOf(keyring)
      const chosen = chosenShamirSeal(sets, configured(), sealName)
      const shares = parseAll(texts)
      // A card of a set that is no more must not decide which set is meant.
      const first = shares.find(share => isOfSeal(sets, chosen, share)) ?? shares[0]
      if (first === undefined) return { sealName: chosen, setLabel: '', threshold: 0, shares: [], isQuorum: false }
      const of = setFor(sets, chosen, first)
      const { verdicts, threshold, outcome } = rehearse({ set: of.set, shares, others: namesOf(sets) })
      if (outcome.kind === 'failed') throw outcome.error
      return {
        ...{ sealName: chosen, setLabel: of.label, threshold, isQuorum: outcome.kind === 'proven' },
        shares: verdicts.map((verdict, position) => {
          const { index, kind } = verdict
          if (kind === 'good') return { index, isRight: true }
          const { code, message } = faultOf(keyring, shares[position], verdict.error)
          return { index, isRight: false, fault: { code, message } }
        }),
      }
    },

    [Symbol.dispose]() {
      for (const key of [...collecting.keys()]) forget(key)
    },
  }
}

/** Parses every text; the values of all are wiped if one is none. */
function parseAll(texts: readonly Secret[]): readonly Share[] {
  const shares: Share[] = []
  try {
    for (const text of texts) shares.push(text.reveal(parseShare))
    return shares
  } catch (error) {
    for (const { value } of shares) value.wipe()
    throw error
  }
}

/** Takes a ceremony that is over off the list: it holds no share any more. */
function forgetOnly(collecting: Map<string, Collecting>, key: string): void {
  clearTimeout(collecting.get(key)?.timer)
  collecting.delete(key)
}

function notBegun({ sealName, label, set: { threshold, shares } }: KnownShareSet): CeremonyState {
  return { sealName, setLabel: label, threshold, count: shares, entered: [], nonce: '', isComplete: false }
}

function stateOf({ sealName, label }: KnownShareSet, ceremony: Ceremony): CeremonyState {
  const { threshold, shares, indexes, nonce, kind } = ceremonyStatus(ceremony)
  return {
    sealName,
    setLabel: label,
    threshold,
    count: shares,
    entered: indexes,
    nonce,
    isComplete: kind === 'complete',
  }
}
