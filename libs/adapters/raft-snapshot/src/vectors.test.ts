import { createDecipheriv } from 'node:crypto'
import { readVectors, toHex } from '@sealwright/testing-vectors'
import { assertSums } from './sums.ts'
import { readRaftSnapshot } from './read-raft-snapshot.ts'
import { readSealFacts } from './seal-facts.ts'
import { inPieces, realSnapshot, signal } from './testing/read.ts'

const vectors = readVectors('raft-snapshot', 'snapshots.json', {
  file: 'text',
  byteLength: 'number',
  sha256: 'hex',
  metadata: 'json',
  metaJsonSha256: 'hex',
  stateBinSha256: 'hex',
  valueBytes: 'json',
  sealConfig: 'json',
  recoveryConfig: 'json?',
  storedKeys: 'hex',
  recoveryKey: 'hex?',
  sealedSums: 'hex',
  sealKey: 'hex?',
})

describe.each(vectors)('a snapshot of $name', vector => {
  const bytes = realSnapshot(vector.file)

  it('is read as another reader does', async () => {
    const seen: [string, number][] = []
    const snapshot = await readRaftSnapshot(inPieces(bytes, 1_000), {
      signal,
      wants: () => true,
      onEntry: ({ key, value }) => {
        seen.push([key, value.byteLength])
      },
    })
    expect(snapshot.file).toEqual({ byteLength: vector.byteLength, sha256: vector.sha256 })
    expect(snapshot.metadata).toEqual(vector.metadata)
    expect(toHex(snapshot.sums.metaJson)).toBe(toHex(vector.metaJsonSha256))
    expect(toHex(snapshot.sums.stateBin)).toBe(toHex(vector.stateBinSha256))
    expect(Object.fromEntries(seen)).toEqual(vector.valueBytes)
    expect(snapshot.entryCount).toBe(seen.length)
    expect(toHex(snapshot.sealedSums)).toBe(toHex(vector.sealedSums))
    expect(snapshot.partsTooLargeToRestore).toEqual([])
  })

  it('says of its seal what another reader finds', async () => {
    const facts = await readSealFacts(inPieces(bytes), { signal })
    const { sealConfig, recoveryConfig, storedKeys, recoveryKey } = vector
    expect(facts).toEqual({ snapshot: facts.snapshot, sealConfig, recoveryConfig, storedKeys, recoveryKey })
  })
})

describe('the sealed sums of a snapshot', () => {
  const sealed = vectors.flatMap(({ file, sealKey }) => (sealKey === undefined ? [] : [{ file, sealKey }]))

  it.each(sealed)('open with the seal key, and fit: $file', async ({ file, sealKey }) => {
    const { sealedSums, sums } = await readRaftSnapshot(inPieces(realSnapshot(file)), { signal })
    const opened = openStaticBlob(sealedSums, sealKey)
    expect(() => {
      assertSums(opened, sums)
    }).not.toThrow()
  })

  /** A blob of the static seal: 1 ciphertext of 152 bytes ‖ tag (16), 2 nonce (12), 5 the key's id. AES-256-GCM. */
  function openStaticBlob(blob: Uint8Array, key: Uint8Array): Uint8Array {
    const tags = [blob.subarray(0, 3), blob.subarray(171, 173)].map(toHex)
    expect(tags).toEqual(['0aa801', '120c'])
    const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(173, 185))
    decipher.setAuthTag(blob.subarray(155, 171))
    return Buffer.concat([decipher.update(blob.subarray(3, 155)), decipher.final()])
  }
})
