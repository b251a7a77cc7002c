import { randomBytes } from 'node:crypto'
import { activateGeneration, addGeneration, OpenKeyring } from '@sealwright/keyring'
import { fakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, broken, type Holding } from '../testing/keyrings.ts'
import { leaderKey, type RefusedKeyring } from './leader-key.ts'

const refusal = { code: 'KEYRING_LINK_BROKEN', message: 'out of reach' }
const seal = fakeSeal()

let nowMs: number
let ours: OpenKeyring
let theirs: OpenKeyring
let held: OpenKeyring | undefined
let told: RefusedKeyring[]

beforeEach(async () => {
  nowMs = 1_000
  const first = await begun([seal])
  ours = opened(first)
  theirs = opened(await broken(first, [seal]))
  held = ours
  told = []
})

function opened({ keyring, sealKeys }: Holding): OpenKeyring {
  return OpenKeyring.from(keyring, sealKeys)
}

function watch() {
  return leaderKey({ held: () => held, now: () => nowMs, onRefused: refused => told.push(refused) })
}

/** What a leader that holds this keyring encrypts, with a keyring beside it. */
function blobOf(keyring: OpenKeyring) {
  const ciphertext = keyring.encryptBlob({ plaintext: Buffer.from('challenge'), aad: new Uint8Array(), randomBytes })
  return { ciphertext, iv: new Uint8Array(), wrappedKey: Uint8Array.of(1) }
}

describe('the key of the leader', () => {
  it('is no matter while it is held here, whatever its keyring was refused for', () => {
    const leader = watch()
    expect(leader.refused()).toBeUndefined()
    for (const reason of [undefined, refusal]) leader.saw(blobOf(ours), reason)
    leader.saw(blobOf(ours), { code: 'KEYRING_DIVERGED', message: 'two breaks' })
    expect([leader.refused(), told]).toEqual([undefined, []])
  })

  it('is told once as one that is not held here, with what its keyring was refused for, and since when', () => {
    const leader = watch()
    leader.saw(blobOf(theirs), refusal)
    nowMs = 9_000
    leader.saw(blobOf(theirs), { ...refusal, code: 'KEYRING_NO_WAY_IN' })
    expect(leader.refused()).toEqual({ ...refusal, code: 'KEYRING_NO_WAY_IN', keyId: theirs.keyId, sinceMs: 1_000 })
    expect(told).toEqual([{ ...refusal, keyId: theirs.keyId, sinceMs: 1_000 }])
  })

  it('is told anew where the leader goes on to another one', async () => {
    const leader = watch()
    leader.saw(blobOf(theirs), refusal)
    nowMs = 9_000
    const next = opened(await broken(ahead(await begun([seal])), [seal]))
    leader.saw(blobOf(next), refusal)
    expect(leader.refused()).toMatchObject({ keyId: next.keyId, sinceMs: 9_000 })
    expect(told).toHaveLength(2)
  })

  it('is told also where its keyring was taken: it is of a branch that was given up here, which the leader does not know', async () => {
    const first = await begun([seal])
    const [unaware, aware] = [opened(ahead(first)), opened(await broken(first, [seal]))]
    held = aware.mergedWith(unaware)
    expect(held.keyIds).not.toContain(unaware.keyId)
    const leader = watch()
    leader.saw(blobOf(unaware), undefined)
    expect(leader.refused()).toMatchObject({ code: 'KEYRING_KEY_UNKNOWN', keyId: unaware.keyId })
    held = unaware
    expect(leader.refused()).toBeUndefined()
  })

  it('is told also where it is held to the next restart alone: its branch was given up here', async () => {
    const first = await begun([seal])
    const [unaware, aware] = [opened(ahead(first)), opened(await broken(first, [seal]))]
    held = unaware.mergedWith(aware)
    const blob = blobOf(unaware)
    held.decryptBlob({ blob: blob.ciphertext, aad: new Uint8Array() })
    const leader = watch()
    leader.saw(blob, undefined)
    expect(leader.refused()).toMatchObject({ code: 'KEYRING_KEY_UNKNOWN', keyId: unaware.keyId })
  })

  it('is told also where a key of a stranger that is held here has its id', async () => {
    const begin = await begun([seal])
    const { keyring, generation, sealKey } = addGeneration({
      ...begin,
      step: 'chained',
      keyId: theirs.keyId,
      randomBytes,
    })
    const sealKeys = begin.sealKeys.with(generation.id, sealKey)
    held = opened({ keyring: activateGeneration({ keyring, sealKeys, id: generation.id }), sealKeys })
    expect(held.keyIds).toContain(theirs.keyId)
    const leader = watch()
    leader.saw(blobOf(theirs), refusal)
    expect([leader.refused(), told]).toMatchObject([{ keyId: theirs.keyId }, [{ keyId: theirs.keyId }]])
  })

  it('is told also while it is held, if the keyring of the leader shuts this node out', () => {
    const leader = watch()
    leader.saw(blobOf(ours), { code: 'CUSTODY_SHUT_OUT', message: 'no way in' })
    expect([leader.refused(), told]).toMatchObject([{ code: 'CUSTODY_SHUT_OUT' }, [{ code: 'CUSTODY_SHUT_OUT' }]])
    leader.saw(blobOf(ours), undefined)
    expect(leader.refused()).toBeUndefined()
  })

  it('is well as soon as it is held, without another question', () => {
    const leader = watch()
    leader.saw(blobOf(theirs), refusal)
    held = theirs
    expect(leader.refused()).toBeUndefined()
  })

  it.each([
    ['one that we can open', () => blobOf(ours), refusal],
    ['one of another seal', () => ({ ...blobOf(theirs), iv: Uint8Array.of(1) }), refusal],
    ['one without a keyring', () => ({ ...blobOf(theirs), wrappedKey: new Uint8Array() }), refusal],
    ['one that is none', () => ({ ...blobOf(theirs), ciphertext: Uint8Array.of(1, 2) }), refusal],
  ])('is well again with the next answer of the leader: %s', (_, blob, reason) => {
    const leader = watch()
    leader.saw(blobOf(theirs), refusal)
    leader.saw(blob(), reason)
    expect(leader.refused()).toBeUndefined()
    held = undefined
    expect(leader.refused()).toBeUndefined()
  })

  it('is no matter while nothing is held: the node is sealed, and says so', () => {
    held = undefined
    const leader = watch()
    leader.saw(blobOf(theirs), refusal)
    expect([leader.refused(), told]).toEqual([undefined, []])
  })
})
