import { createSecretKey, randomBytes } from 'node:crypto'
import { type KmsGeneration, type OpenKmsKeyring } from '@sealwright/keyring'
import { type KmsBackend, KmsError, kmsV2Service, observeKey } from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'
import { KmsKeyringError } from './keyring-error.ts'
import { assertSucceeds, type KeyringVersions, keyringVersions } from './keyring-versions.ts'

const ASSOCIATED_DATA = Uint8Array.of(1, 2, 3)
const SEED_BYTES = 32

function generation(number: number): KmsGeneration {
  const state = 'active'
  return { number, id: randomBytes(16), notBeforeMs: number, state, key: createSecretKey(randomBytes(SEED_BYTES)) }
}

/** Nothing but its generations is looked at. */
function openOf(...generations: readonly KmsGeneration[]): OpenKmsKeyring {
  return { generations } as unknown as OpenKmsKeyring
}

const seed = (): Secret => new Secret(new Uint8Array(SEED_BYTES).fill(9))

/** What becomes of data that `from` has encrypted by this version. */
function outcome(from: KeyringVersions, version: number, by: KeyringVersions): string {
  const wrapped = from.encrypt(version, seed(), ASSOCIATED_DATA)
  try {
    return by.decrypt(version, wrapped, ASSOCIATED_DATA).equals(seed()) ? 'decrypted' : 'something else'
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
}

const [one, two, three] = [generation(1), generation(2), generation(3)]

describe('versions that are held when the keyring is opened anew', () => {
  const first = keyringVersions(openOf(one, two, three))

  it('go on decrypting where an older keyring was put back, however often that is opened', () => {
    let now = first
    for (let count = 0; count < 3; count += 1) {
      now = keyringVersions(openOf(one, two), now.held)
      expect([1, 2, 3].map(version => outcome(first, version, now))).toEqual(Array(3).fill('decrypted'))
      expect(now.observation.versions.map(({ version }) => version)).toEqual([1, 2])
    }
  })

  it('go on decrypting where it was opened through a seal that does not reach them', () => {
    const now = keyringVersions(openOf({ ...one, key: undefined }, two, three), first.held)
    expect(outcome(first, 1, now)).toBe('decrypted')
  })

  it('end when they are retired', () => {
    const retired = { ...one, state: 'retired' as const, key: undefined }
    const now = keyringVersions(openOf(retired, two, three), first.held)
    expect(outcome(first, 1, now)).toBe('KMS_VERSION_RETIRED')
    expect(outcome(first, 2, now)).toBe('decrypted')
  })

  it('are decrypted by the service, too, where they were taken back and a newer one stays retired', async () => {
    const four = generation(4)
    const now = keyringVersions(openOf(one, two, { ...three, state: 'retired', key: undefined }, four), first.held)
    const policy = { stableObservations: 1, activationDelayMs: 0 }
    const trials = { newestWorks: true, refused: new Set<number>() }
    const life = observeKey(null, now.observation, { nowMs: 1_000, policy, ...trials })
    const backend: KmsBackend = {
      provider: 'keyring',
      observe: () => Promise.resolve(now.observation),
      encrypt: ({ version, plaintext, associatedData }) =>
        Promise.resolve(first.encrypt(version, plaintext, associatedData)),
      decrypt: ({ version, wrapped, associatedData }) => Promise.resolve(now.decrypt(version, wrapped, associatedData)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
    const told = { life: () => life, hasLooked: () => true, illness: () => null }
    const call = { signal: new AbortController().signal }
    // As an API server has it from when version 2 encrypted.
    const then = observeKey(null, keyringVersions(openOf(one, two)).observation, { nowMs: 1_000, policy, ...trials })
    const before = kmsV2Service({ backend, clusterId: 'c', ...told, life: () => then })
    const made = await before.encrypt({ plaintext: seed(), uid: 'e' }, call)
    const service = kmsV2Service({ backend, clusterId: 'c', ...told })
    const { plaintext } = await service.decrypt({ ...made, uid: 'd' }, call)
    expect(plaintext.equals(seed())).toBe(true)
    expect(life.versions.map(({ version, phase }) => `${version} ${phase}`)).toEqual([
      ...['1 retiring', '2 retiring', '4 active'],
    ])
  })

  it('end when another key has their number', () => {
    const now = keyringVersions(openOf(one, two, generation(3)), first.held)
    expect(outcome(first, 3, now)).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(outcome(now, 3, now)).toBe('decrypted')
  })

  it('are nothing to a program that was just started', () => {
    expect(outcome(first, 3, keyringVersions(openOf(one, two)))).toBe('KMS_KEY_GONE')
  })
})

describe('a keyring that takes the place of another', () => {
  it('goes on from it, or is an older one', () => {
    expect(() => {
      assertSucceeds(openOf(one, two), openOf(one, two, three))
      assertSucceeds(openOf(one, two, three), openOf(one, two))
    }).not.toThrow()
  })

  it('is refused where both have gone on by themselves', () => {
    expect(() => {
      assertSucceeds(openOf(one, two), openOf(one, generation(2)))
    }).toThrow(KmsKeyringError)
  })
})
