import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import {
  activateGeneration,
  addGeneration,
  addRecord,
  createKeyring,
  currentGeneration,
  encodeKeyring,
  type Keyring,
  matchSealKey,
  type SealKeys,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type FakeSeal } from './fake-seal.ts'

const MAC_BYTES = 32
const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }

/** A keyring with its plain keys, which stay the test's. */
export interface Holding {
  readonly keyring: Keyring
  readonly sealKeys: SealKeys
}

/** A seal key that follows from `name`; each call makes another copy. */
export function sealKeyNamed(name: string): Secret {
  return new Secret(Uint8Array.from(createHash('sha256').update(name).digest()))
}

/** The keyring of a cluster that begins with these seals: nodes that begin from one key are of one cluster. */
export async function begun(seals: readonly FakeSeal[], keyName = 'first'): Promise<Holding> {
  const [first, ...others] = seals
  if (first === undefined) throw new Error('a keyring needs a seal')
  const sealKey = sealKeyNamed(keyName)
  const keyring = await first.withLocalMember({ knownIn: undefined, signal }, member =>
    createKeyring({ sealName: first.name, member, method: member.method, label: 'node', ...surroundings, sealKey }),
  )
  return await enrolled({ keyring, sealKeys: matchSealKey({ keyring, sealKey }) }, others)
}

/** With a record of the current generation, or of another one, for each of these seals. */
export async function enrolled(
  holding: Holding,
  seals: readonly FakeSeal[],
  generationId = currentGeneration(holding.keyring).id,
): Promise<Holding> {
  let { keyring } = holding
  const { sealKeys } = holding
  for (const seal of seals) {
    const base = keyring
    keyring = await seal.withLocalMember({ knownIn: base, signal }, member => {
      const record = { sealName: seal.name, member, method: member.method, label: 'node', generationId }
      return addRecord({ keyring: base, sealKeys, ...record, ...surroundings })
    })
  }
  return { keyring, sealKeys }
}

/** One chained generation later. The keys are shared with what was given in. */
export function rotated({ keyring, sealKeys }: Holding): Holding {
  const added = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  const { id } = added.generation
  const held = sealKeys.with(id, added.sealKey)
  return { keyring: activateGeneration({ keyring: added.keyring, sealKeys: held, id }), sealKeys: held }
}

/** So many chained generations later. */
export function ahead(holding: Holding, generations = 1): Holding {
  let next = holding
  for (let count = 0; count < generations; count += 1) next = rotated(next)
  return next
}

/** With a generation after a broken step that is still pending, and records of it for these seals alone. */
export async function handingOut(holding: Holding, seals: readonly FakeSeal[]): Promise<Holding & { id: Uint8Array }> {
  const { keyring, generation, sealKey } = addGeneration({ ...holding, step: 'broken', randomBytes })
  const sealKeys = holding.sealKeys.with(generation.id, sealKey)
  return { ...(await enrolled({ keyring, sealKeys }, seals, generation.id)), id: generation.id }
}

/** One broken generation later: only these seals come along. Older records stay. */
export async function broken(holding: Holding, seals: readonly FakeSeal[]): Promise<Holding> {
  const { id, ...handedOut } = await handingOut(holding, seals)
  return { keyring: activateGeneration({ ...handedOut, id }), sealKeys: handedOut.sealKeys }
}

/** As whoever has the current seal key makes it: docs/formats/keyring.md §6.2 and §6.4. */
export function withMac({ keyring, sealKeys }: Holding): Keyring {
  const macKey = sealKeys
    .of(currentGeneration(keyring).id)
    .reveal(key => hkdfSync('sha256', key, keyring.clusterId, 'sealwright keyring v1 mac key', MAC_BYTES))
  const contents = encodeKeyring(keyring).subarray(0, -MAC_BYTES)
  return { ...keyring, mac: Uint8Array.from(createHmac('sha256', Buffer.from(macKey)).update(contents).digest()) }
}

/** The bytes of a keyring as another node sends them. */
export function bytesOf({ keyring }: Pick<Holding, 'keyring'>): Uint8Array {
  return encodeKeyring(keyring)
}

/** With another MAC than that of its key. */
export function withForgedMac({ keyring }: Pick<Holding, 'keyring'>): Uint8Array {
  return encodeKeyring({ ...keyring, mac: flipped(keyring.mac) })
}

/** With a last generation that the one before it did not sign. */
export function withForgedLineage({ keyring }: Pick<Holding, 'keyring'>): Uint8Array {
  const generations = keyring.generations.map((generation, index) =>
    index < keyring.generations.length - 1 ? generation : { ...generation, signature: flipped(generation.signature) },
  )
  return encodeKeyring({ ...keyring, generations })
}

/** The same bytes with one bit of the last one changed. */
export function flipped(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, index) => (index === bytes.length - 1 ? byte ^ 1 : byte))
}
