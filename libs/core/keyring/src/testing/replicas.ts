import { type Secret } from '@sealwright/secret'

import { type Holding } from '../add-generation.ts'
import { hex, sameBytes } from '@sealwright/bytes'
import { decodeKeyring, encodeKeyring } from '../codec.ts'
import { type Generation, type Keyring, type KeyringContents } from '../keyring.ts'
import { currentGeneration, isGivenUp, reachableFrom } from '../lineage.ts'
import { type OpenKeyring } from '../open-keyring.ts'
import { fakeMember, type FakeMember } from './fake-member.ts'
import {
  activated,
  begun,
  codeNow,
  codeOf,
  enrolled,
  handingOut,
  opened,
  pending,
  retired,
  rotated,
  surroundings,
  unwrap,
  without,
} from './samples.ts'

/** One thing that happens somewhere. Numbers choose among whatever there is at that time. */
export interface Step {
  readonly kind: (typeof STEP_KINDS)[number]
  readonly on: number
  readonly choice: number
}

export const STEP_KINDS = [
  'prepare',
  'activate',
  'rotate',
  'hand-out',
  'break',
  'retire',
  'enrol',
  'renew',
  'remove',
  'encrypt',
  'tell',
] as const

interface Replica {
  readonly member: FakeMember
  keyring: Keyring
}

interface Blob {
  readonly generationId: string
  readonly bytes: Uint8Array
}

/** What one merge did, for the test to judge. */
export interface Merge {
  readonly before: readonly [Keyring, Keyring]
  readonly after: Keyring
  /** The same merge, done by the other side. */
  readonly mirrored: Keyring
  /** Merging with each of the two once more gives the very same value. */
  readonly isSettled: boolean
}

const aad = new Uint8Array()
const PLAINTEXT = Uint8Array.of(1, 2, 3)
const REPLICAS = ['node-0', 'node-1', 'node-2']

/**
 * Nodes of one cluster, each with a TPM and a copy of the keyring of its own, that change it and tell one another now and then.
 * Each operation begins with opening the keyring by the node's own TPM.
 *
 * They keep the rules that the library leaves to its callers: one node breaks chains; a new member gets a record of the oldest
 * generation that is still needed; a generation is retired when all nodes know the same and no blob names it.
 */
export class Cluster {
  readonly replicas: readonly Replica[]
  /** Every member that was ever let in. */
  readonly members: FakeMember[]
  readonly merges: Merge[] = []
  blobs: Blob[] = []
  /** The broken generation that node 0 is handing out, and its key. */
  #handedOut: { readonly generation: Generation; readonly sealKey: Secret } | undefined

  private constructor(replicas: readonly Replica[]) {
    this.replicas = replicas
    this.members = replicas.map(({ member }) => member)
  }

  static async begin(): Promise<Cluster> {
    const [first, ...others] = REPLICAS.map(name => fakeMember(name))
    if (first === undefined) throw new Error('no node')
    const { keyring } = await enrolled(await begun(first), others)
    return new Cluster([first, ...others].map(member => ({ member, keyring })))
  }

  async run({ kind, on, choice }: Step): Promise<void> {
    const replica = pick(this.replicas, on)
    switch (kind) {
      case 'prepare':
        return this.#change(replica, holding => pending(holding))
      case 'rotate':
        return this.#change(replica, holding => rotated(holding))
      case 'activate':
        return this.#change(replica, holding => activateOne(holding, choice))
      case 'hand-out':
        return this.#handOut(choice)
      case 'break':
        await this.#handOut(choice)
        return this.#break()
      case 'retire':
        return this.#retire(choice)
      case 'enrol':
        return this.#change(replica, holding => this.#enrol(holding))
      case 'renew':
        return this.#change(replica, holding => enrolled(holding, [pick(this.#listed(holding.keyring), choice)]))
      case 'remove':
        return this.#change(replica, holding => this.#remove(holding, choice))
      case 'encrypt':
        return this.#encrypt(replica)
      case 'tell':
        return this.tell(replica, pick(this.replicas, on + 1 + (choice % (this.replicas.length - 1))))
    }
  }

  /** Every node tells every other what it knows, until nobody learns anything new. */
  async converge(): Promise<void> {
    for (let round = 0; round < 2; round += 1) {
      for (const from of this.replicas) for (const to of this.replicas) if (from !== to) await this.tell(from, to)
    }
  }

  /** What `to` makes of the keyring of `from`, as bytes that reach it. */
  async tell(from: Replica, to: Replica): Promise<void> {
    const told = encodeKeyring(from.keyring)
    if (sameBytes(told, encodeKeyring(to.keyring))) return
    const before = [to.keyring, decodeKeyring(told)] as const
    const mine = await opened(to.keyring, to.member)
    const merged = await mergedAs(mine, before[1], to.member)
    const mirrored = await mergedAs(await opened(from.keyring, from.member), to.keyring, from.member)
    const again = await Promise.all(before.map(keyring => mergedAs(merged, keyring, to.member)))
    to.keyring = decodeKeyring(encodeKeyring(merged.keyring))
    const isSettled = again.every(each => each === merged)
    this.merges.push({ before, after: to.keyring, mirrored: mirrored.keyring, isSettled })
  }

  /** The members that are listed as active. */
  #listed(keyring: Keyring): readonly FakeMember[] {
    return this.members.filter(({ memberId }) =>
      keyring.members.some(entry => entry.state === 'active' && sameBytes(entry.memberId, memberId)),
    )
  }

  async #change(replica: Replica, change: (holding: Holding) => Holding | Promise<Holding>): Promise<void> {
    const sealKeys = await unwrap(replica.keyring, replica.member)
    const { keyring } = await change({ keyring: replica.keyring, sealKeys })
    sealKeys.wipe()
    replica.keyring = decodeKeyring(encodeKeyring(keyring))
  }

  #enrol(holding: Holding): Promise<Holding> {
    const member = fakeMember(`member-${this.members.length}`)
    this.members.push(member)
    return enrolled(holding, [member], oldestNeeded(holding).id)
  }

  /** Nodes stay: only members beyond them are removed. */
  #remove(holding: Holding, choice: number): Holding {
    const others = this.#listed(holding.keyring).slice(this.replicas.length)
    return others.length === 0 ? holding : without(holding, pick(others, choice))
  }

  /** Only node 0 breaks chains; it may leave members behind, but no node. */
  async #handOut(choice: number): Promise<void> {
    const [replica] = this.replicas
    if (replica === undefined || this.#handedOut !== undefined) return
    await this.#change(replica, async holding => {
      const listed = this.#listed(holding.keyring)
      const chosen = listed.filter((_member, index) => index < REPLICAS.length || (choice + index) % 3 !== 0)
      const added = await handingOut(holding, chosen)
      const { generation, sealKeys } = added
      this.#handedOut = { generation, sealKey: sealKeys.of(generation.id).clone() }
      return added
    })
  }

  async #break(): Promise<void> {
    const [replica] = this.replicas
    const handedOut = this.#handedOut
    if (replica === undefined || handedOut === undefined) return
    this.#handedOut = undefined
    const { generation, sealKey } = handedOut
    await this.#change(replica, ({ keyring, sealKeys }) =>
      activated({ keyring, sealKeys: sealKeys.with(generation.id, sealKey) }, generation),
    )
  }

  async #retire(choice: number): Promise<void> {
    await this.converge()
    const [replica] = this.replicas
    if (replica === undefined) return
    const current = currentGeneration(replica.keyring)
    const old = replica.keyring.generations.filter(each => each.state === 'active' && each !== current)
    if (old.length === 0) return
    const chosen = pick(old, choice)
    await this.#change(replica, holding => retired(holding, chosen))
    this.blobs = this.blobs.filter(({ generationId }) => generationId !== hex(chosen.id))
  }

  async #encrypt({ keyring, member }: Replica): Promise<void> {
    const open = await opened(keyring, member)
    const bytes = open.encryptBlob({ plaintext: PLAINTEXT, aad, ...surroundings })
    this.blobs.push({ generationId: hex(open.current.id), bytes })
  }
}

/** Whether this member can open the keyring. */
export async function canOpen(keyring: Keyring, member: FakeMember): Promise<boolean> {
  const code = await codeOf(() => opened(keyring, member))
  if (code !== 'none' && code !== 'KEYRING_NO_RECORD' && code !== 'KEYRING_LINK_BROKEN') throw new Error(code)
  return code === 'none'
}

/** Whether the blob decrypts to what was encrypted. */
export function decrypts(open: OpenKeyring, { bytes }: Blob): boolean {
  return codeNow(() => open.decryptBlob({ blob: bytes, aad })) === 'none'
}

/** Whether the first side knows of a break that the second does not come after. */
export function givesUp(knowing: KeyringContents, side: KeyringContents): boolean {
  return isGivenUp(side, currentGeneration(side), knowing)
}

async function mergedAs(mine: OpenKeyring, theirs: Keyring, member: FakeMember): Promise<OpenKeyring> {
  return codeNow(() => mine.mergedWith(theirs)) === 'KEYRING_KEY_UNKNOWN'
    ? mine.mergedWith(await opened(theirs, member))
    : mine.mergedWith(theirs)
}

/** A pending generation of which the key is held, if there is one that the library lets become active. */
function activateOne(holding: Holding, choice: number): Holding {
  const { keyring, sealKeys } = holding
  const candidates = keyring.generations.filter(each => each.state === 'pending' && sealKeys.has(each.id))
  const activatable = candidates.filter(each => codeNow(() => activated(holding, each)) !== 'KEYRING_INPUT_INVALID')
  return activatable.length === 0 ? holding : activated(holding, pick(activatable, choice))
}

/** The oldest generation from which links lead to the current one, of those that are not retired. */
function oldestNeeded({ keyring, sealKeys }: Holding): Generation {
  const current = currentGeneration(keyring)
  const oldest = keyring.generations.find(
    ({ id, state }) => state !== 'retired' && sealKeys.has(id) && reachableFrom(keyring, id).has(hex(current.id)),
  )
  return oldest ?? current
}

function pick<T>(from: readonly T[], choice: number): T {
  const chosen = from[choice % from.length]
  if (chosen === undefined) throw new Error('nothing to choose from')
  return chosen
}
