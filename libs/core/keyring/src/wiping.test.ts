import { Secret } from '@sealwright/secret'

import { addGeneration } from './add-generation.ts'
import { matchSealKey, proveRecords } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  begun,
  broken,
  changed,
  codeOf,
  enrolled,
  opened,
  rotated,
  sealIdOf,
  sealKeyNamed,
  signal,
  surroundings,
  unwrap,
} from './testing/samples.ts'

/** Every secret that was looked at while `run` ran. A key that is never looked at never was of use. */
async function secretsSeenBy(run: () => unknown): Promise<readonly Secret[]> {
  const seen = new Set<Secret>()
  const reveal = jest.spyOn(Secret.prototype, 'reveal')
  try {
    await run()
  } finally {
    for (const context of reveal.mock.contexts) if (context instanceof Secret) seen.add(context)
    reveal.mockRestore()
  }
  return [...seen]
}

function isWiped(secret: Secret): boolean {
  try {
    secret.reveal(bytes => bytes.byteLength)
  } catch (error) {
    if (error instanceof TypeError) return true
    throw error
  }
  return false
}

const member = () => fakeMember('a')

describe('every key that is looked at', () => {
  it('is wiped when a keyring was opened', async () => {
    const { keyring } = await broken(rotated(await begun(member())), [member()])
    const seen = await secretsSeenBy(() => opened(keyring, member()))
    // Three seal keys, two KEKs and one link key.
    expect(seen).toHaveLength(6)
    expect(seen.every(isWiped)).toBe(true)
  })

  it('is wiped when the records of a member were proven', async () => {
    const { keyring } = await broken(rotated(await begun(member())), [member()])
    const input = { keyring, sealId: sealIdOf(keyring), member: member(), signal }
    const seen = await secretsSeenBy(() => proveRecords(input))
    expect(seen).toHaveLength(6)
    expect(seen.every(isWiped)).toBe(true)
  })

  it('is wiped when the keyring turns out not to be authentic', async () => {
    const { keyring } = await broken(rotated(await begun(member())), [member()])
    const forged = { ...keyring, revision: 99 }
    const seen = await secretsSeenBy(async () => {
      expect(await codeOf(() => unwrap(forged, member()))).toBe('KEYRING_AUTH_FAILED')
    })
    expect(seen).toHaveLength(6)
    expect(seen.every(isWiped)).toBe(true)
  })

  it('is wiped when a link does not hold, of an old record as well as of the first', async () => {
    const first = rotated(await begun(member()))
    const after = await broken(first, [member()])
    for (const holding of [first, after]) {
      const links = holding.keyring.links.map(link => ({
        ...link,
        wrappedKey: Uint8Array.from(link.wrappedKey).fill(7, -1),
      }))
      const { keyring } = changed(holding, { links })
      const seen = await secretsSeenBy(async () => {
        expect(await codeOf(() => opened(keyring, member()))).toBe(holding === first ? 'KEYRING_LINK_BROKEN' : 'none')
      })
      expect(seen.length).toBeGreaterThan(2)
      expect(seen.every(isWiped)).toBe(true)
    }
  })

  it('is wiped when the keyring is not that of a plain key, which stays the caller’s', async () => {
    const { keyring } = rotated(await begun(member()))
    const sealKey = sealKeyNamed('k')
    const seen = await secretsSeenBy(async () => {
      expect(await codeOf(() => matchSealKey({ keyring: { ...keyring, revision: 99 }, sealKey }))).toBe(
        'KEYRING_AUTH_FAILED',
      )
    })
    expect(seen.filter(secret => !isWiped(secret))).toEqual([sealKey])
  })

  it('is wiped when a record was made, but for those of the caller', async () => {
    const { keyring, sealKeys } = await begun(member())
    const seen = await secretsSeenBy(() => enrolled({ keyring, sealKeys }, [fakeMember('b')]))
    expect(seen.filter(secret => !isWiped(secret))).toEqual(keyring.generations.map(({ id }) => sealKeys.of(id)))
  })

  it('is wiped when a generation cannot be added, but for those of the caller', async () => {
    const { keyring, sealKeys } = await begun(member())
    const failing = (step: 'chained' | 'broken', keyId: string) => () =>
      codeOf(() => addGeneration({ keyring, sealKeys, step, keyId, ...surroundings }))
    const mine = keyring.generations.map(({ id }) => sealKeys.of(id))
    const taken = keyring.generations[0]?.keyId ?? ''
    for (const run of [failing('broken', taken), failing('chained', taken), failing('chained', 'k 2')]) {
      const seen = await secretsSeenBy(run)
      expect(seen.filter(secret => !isWiped(secret))).toEqual(mine)
      expect(seen.length).toBeGreaterThan(1)
    }
  })
})
