import { randomBytes } from 'node:crypto'
import { createKeyring, encodeKeyring, matchSealKey, OpenKeyring } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { isKeyIdOf, keyringCarrier } from './carry.ts'

const { signal } = new AbortController()
/** What OpenBao 2.7.2 reads at most of the seal of a snapshot. */
const MAX_SEALED_SUMS_BYTES = 8_191
const SUMS = `${'a'.repeat(64)}  state.bin\n${'b'.repeat(64)}  meta.json\n`

async function held(): Promise<OpenKeyring> {
  const sealKey = new Secret(Uint8Array.from(randomBytes(32)))
  const keyring = await createKeyring({
    ...{ sealName: 'tpm', method: 'tpm-sealed', label: 'node', sealKey, now: Date.now, randomBytes, signal },
    member: {
      ...{ sealType: 'tpm', memberId: randomBytes(16) },
      sealKek: () => Promise.resolve(randomBytes(MAX_SEALED_SUMS_BYTES)),
    },
  })
  return OpenKeyring.from(keyring, matchSealKey({ keyring, sealKey }))
}

const textBytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('the keyring beside a blob', () => {
  it('is there for what OpenBao keeps, and for a node that joins', async () => {
    const keyring = await held()
    const carrier = keyringCarrier()
    for (const byteLength of [24, 32, 48, 152, 1_000]) {
      expect(carrier.keyringFor(new Uint8Array(byteLength), keyring)).toEqual(encodeKeyring(keyring.keyring))
    }
  })

  it('is not there for probes, nor for the sums of a snapshot, which could not be restored with it', async () => {
    const keyring = await held()
    const carrier = keyringCarrier()
    for (const plaintext of [textBytes('a'), textBytes('Heartbeat 123'), textBytes(SUMS)]) {
      expect(carrier.keyringFor(plaintext, keyring)).toHaveLength(0)
    }
    expect(textBytes(SUMS)).toHaveLength(152)
    for (const odd of [SUMS.slice(1), `${SUMS}x`, SUMS.replace('a', 'A'), SUMS.replace('state', 'stale')]) {
      expect(carrier.keyringFor(textBytes(odd), keyring).byteLength).toBeGreaterThan(0)
    }
  })
})

describe('the key id that OpenBao is told', () => {
  it('names the generation, and changes with the keyring', async () => {
    const [one, other] = [await held(), await held()]
    const carrier = keyringCarrier()
    const told = carrier.keyIdOf(one)
    expect(told).toMatch(/^sw-[0-9a-f]{16}\+[0-9a-f]{12}$/)
    expect(carrier.keyIdOf(one)).toBe(told)
    expect(carrier.keyIdOf(other)).not.toBe(told)
    expect(isKeyIdOf(told, one.keyId)).toBe(true)
    expect(isKeyIdOf(one.keyId, one.keyId)).toBe(true)
    expect(isKeyIdOf(told, other.keyId)).toBe(false)
    expect(isKeyIdOf(told, one.keyId.slice(0, -1))).toBe(false)
  })
})
