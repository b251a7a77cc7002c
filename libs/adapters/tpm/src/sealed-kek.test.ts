import { generateKeyPairSync, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import * as fc from 'fast-check'

import { TpmError } from './errors.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek, sealKekForRemote } from './seal.ts'
import { type SealPolicy, policySigner } from './seal-policy.ts'
import { type SealedKek, decodeSealedKek, encodeSealedKek } from './sealed-kek.ts'
import { type TpmIdentity, readTpmIdentity } from './status.ts'
import { unsealKek } from './unseal.ts'

/** Where the endorsement key name lies: after magic, version, method, storage key name and its own size field. */
const EK_NAME_START = 4 + 1 + 1 + 34 + 2
/** The hash algorithm in the name is checked, its digest is diagnostic. */
const EK_DIGEST = { start: EK_NAME_START + 2, end: EK_NAME_START + 34 }

let folder: TemporaryFolder
let swtpm: Swtpm
let access: TpmAccess
let identity: TpmIdentity
const kek = new Secret(Uint8Array.from(randomBytes(32)))
const signer = policySigner(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey)
const policies: readonly SealPolicy[] = [
  { kind: 'none' },
  { kind: 'pcr', pcrs: [0, 7] },
  { kind: 'authorized', signer, policyRef: Uint8Array.of(1, 2, 3), pcrs: [7] },
]

beforeAll(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes }
  identity = await readTpmIdentity(access)
})

afterAll(async () => {
  await swtpm.stop()
  await folder.remove()
})

function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes)
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return flipped
}

type ByteRange = { readonly start: number; readonly end: number }

function isInside(bit: number, range: ByteRange): boolean {
  return bit >= range.start * 8 && bit < range.end * 8
}

/** Where an area lies in the container. */
function areaOf(container: Uint8Array, area: Uint8Array): ByteRange {
  const start = Buffer.from(container).indexOf(Buffer.from(area))
  expect(start).toBeGreaterThan(0)
  return { start, end: start + area.length }
}

function privateAreaOf(object: SealedKek['object']): Uint8Array {
  return object.method === 'sealed' ? object.privateArea : object.duplicate
}

function tryDecode(bytes: Uint8Array): SealedKek | undefined {
  try {
    return decodeSealedKek(bytes)
  } catch (error) {
    if (error instanceof TpmError && error.code === 'TPM_BLOB_MALFORMED') return undefined
    throw error
  }
}

describe.each(policies.map(policy => [policy.kind, policy] as const))('a container with policy "%s"', (_, policy) => {
  it('comes out of decode and encode as it went in', async () => {
    const container = await sealKek(access, identity, { policy }, kek)
    expect(encodeSealedKek(decodeSealedKek(container))).toEqual(container)
  })

  it('is refused at every truncation, and with a byte more', async () => {
    const container = await sealKek(access, identity, { policy }, kek)
    for (let length = 0; length < container.length; length++) {
      expect(tryDecode(container.subarray(0, length))).toBeUndefined()
    }
    expect(tryDecode(Uint8Array.from([...container, 0]))).toBeUndefined()
  })
})

describe('every flipped bit', () => {
  it.each(['sealed', 'imported'] as const)(
    'of a container (%s) is refused, by us or by the TPM, but for the digest of the endorsement key',
    async method => {
      const policy: SealPolicy = { kind: 'none' }
      const container =
        method === 'sealed'
          ? await sealKek(access, identity, { policy }, kek)
          : sealKekForRemote(identity, { policy }, kek, randomBytes)
      let diagnosticBits = 0
      for (let bit = 0; bit < container.length * 8; bit++) {
        const flipped = flipBit(container, bit)
        if (tryDecode(flipped) === undefined) continue
        const outcome = await unsealKek(access, flipped).then(
          () => 'opened',
          (error: unknown) => (error instanceof TpmError ? error.code : error),
        )
        const isDiagnostic = isInside(bit, EK_DIGEST)
        if (isDiagnostic) diagnosticBits += 1
        // A changed storage key name looks like a cleared TPM; everything else is caught as corruption.
        const refused = bit < EK_NAME_START * 8 ? 'TPM_CLEARED' : 'TPM_BLOB_CORRUPT'
        expect({ bit, outcome }).toEqual({ bit, outcome: isDiagnostic ? 'opened' : refused })
      }
      expect(diagnosticBits).toBe(256)
    },
  )

  it.each(policies)(
    'of a container with policy $kind is refused by us unless the TPM covers it or it is diagnostic',
    async policy => {
      const container = await sealKek(access, identity, { policy }, kek)
      const { object } = decodeSealedKek(container)
      const covered = [areaOf(container, object.publicArea), areaOf(container, privateAreaOf(object))]
      const storageKeyName = { start: 6, end: 6 + 34 }
      // One PCR index and value, recorded only so that drift can be named: a signed policy does not depend on it.
      const recordedPcr = { start: EK_DIGEST.end + 1, end: EK_DIGEST.end + 1 + 1 + 32 }
      const diagnostic = policy.kind === 'authorized' ? [EK_DIGEST, recordedPcr] : [EK_DIGEST]
      const unexplained = Array.from({ length: container.length * 8 }, (_, bit) => bit)
        .filter(bit => tryDecode(flipBit(container, bit)) !== undefined)
        .filter(bit => ![...covered, storageKeyName, ...diagnostic].some(range => isInside(bit, range)))
      expect(unexplained).toEqual([])
    },
  )
})

describe('a container', () => {
  it('takes no noise for a container', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), bytes => {
        expect(tryDecode(bytes)).toBeUndefined()
      }),
    )
  })

  it('takes no other version', async () => {
    const container = await sealKek(access, identity, { policy: { kind: 'none' } }, kek)
    container[4] = 2
    expect(() => decodeSealedKek(container)).toThrow(
      expect.objectContaining({
        code: 'TPM_BLOB_MALFORMED',
        message: expect.stringContaining('version 2') as string,
      }) as Error,
    )
  })

  it('does without an endorsement key name', async () => {
    const { object, policy, storageKeyName } = decodeSealedKek(
      await sealKek(access, identity, { policy: { kind: 'none' } }, kek),
    )
    const container = encodeSealedKek({ object, policy, storageKeyName, pcrValues: [], endorsementKeyName: undefined })
    expect(decodeSealedKek(container).endorsementKeyName).toBeUndefined()
    expect((await unsealKek(access, container)).equals(kek)).toBe(true)
  })
})
