import { authenticate } from './authenticate.ts'
import { deriveMacKey } from './key-schedule.ts'
import { type Keyring } from './keyring.ts'
import { openKeyring, type OpenKeyring } from './open-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { forgeGeneration, forgeMac, forgeRecord } from './testing/forger.ts'
import {
  broken,
  codeNow,
  keyringOf,
  recordFor,
  rotated,
  type Sample,
  sealIdOf,
  sealKeyNamed,
  signal,
  withRecord,
} from './testing/samples.ts'

const member = fakeMember('a')
const key = () => sealKeyNamed('k')

async function first(): Promise<Sample> {
  return { keyring: await keyringOf(member, key()), sealKey: key() }
}

function opened(keyring: Keyring): Promise<OpenKeyring> {
  return openKeyring({ keyring, sealId: sealIdOf(keyring), member, signal })
}

describe('a keyring that would take the place of the one that is held', () => {
  it('may: the very same, one with a new record, one that was rotated', async () => {
    const sample = await first()
    const held = await opened(sample.keyring)
    const more = await withRecord(sample.keyring, key(), { ...recordFor(fakeMember('b')), generation: 1 })
    for (const keyring of [sample.keyring, more, rotated(sample).keyring]) {
      expect((await opened(keyring)).supersedes(held)).toBe(true)
    }
  })

  it('may: one whose chain was broken on purpose, as long as it still holds the key that is current', async () => {
    const sample = await first()
    const held = await opened(sample.keyring)
    expect((await opened((await broken(sample, [member])).keyring)).supersedes(held)).toBe(true)
  })

  it('may not: an older one, and another one of the same revision', async () => {
    const sample = await first()
    const more = await withRecord(sample.keyring, key(), { ...recordFor(fakeMember('b')), generation: 1 })
    const other = await withRecord(sample.keyring, key(), { ...recordFor(fakeMember('c')), generation: 1 })
    const held = await opened(more)
    expect((await opened(sample.keyring)).supersedes(held)).toBe(false)
    expect((await opened(other)).supersedes(held)).toBe(false)
  })

  it('may not: one that goes back a generation', async () => {
    const { keyring } = rotated(await first())
    const back = authenticate(
      { ...keyring, revision: 99, currentGeneration: 1 },
      deriveMacKey(key(), keyring.clusterId),
    )
    expect((await opened(back)).supersedes(await opened(keyring))).toBe(false)
  })

  it('may not: one of another cluster', async () => {
    const other = await keyringOf(member, sealKeyNamed('other'))
    expect((await opened(other)).supersedes(await opened((await first()).keyring))).toBe(false)
  })

  it('may not: one with the cluster id that holds none of its keys, at whichever generation', async () => {
    const { keyring } = await first()
    const held = await opened(keyring)
    const forger = { member, sealKey: sealKeyNamed('evil') }
    const forged = forgeMac(
      {
        ...keyring,
        revision: 99,
        currentGeneration: 2,
        generations: [forgeGeneration(2, forger)],
        records: [await forgeRecord(keyring, forger, 2)],
      },
      forger,
    )
    const candidate = await opened(forged)
    expect(candidate.supersedes(held)).toBe(false)
    const heldLater = await opened(rotated({ keyring, sealKey: key() }).keyring)
    expect(candidate.supersedes(heldLater)).toBe(false)
  })

  it('may not once it is closed', async () => {
    const { keyring } = await first()
    const [candidate, held] = [await opened(keyring), await opened(keyring)]
    candidate.close()
    expect(codeNow(() => candidate.supersedes(held))).toBe('KEYRING_CLOSED')
  })
})
