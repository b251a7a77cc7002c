import { readReadmeExamples } from '@sealwright/testing-checks'
import { readSealFacts } from './seal-facts.ts'
import { assertSums } from './sums.ts'
import { inPieces, realSnapshot, signal } from './testing/read.ts'
import { sumsOf } from './testing/write-snapshot.ts'

async function example(
  input: AsyncIterable<Uint8Array>,
  openBlob: (blob: Uint8Array) => Promise<Uint8Array>,
  keyIdOf: (blob: Uint8Array) => string,
): Promise<string> {
  // README
  const { snapshot, storedKeys } = await readSealFacts(input, { signal })
  if (snapshot.partsTooLargeToRestore.length > 0) return 'OpenBao would not take it back'
  // The seal opens it: only now it is proven that nobody changed the snapshot.
  assertSums(await openBlob(snapshot.sealedSums), snapshot.sums)
  return `entry ${snapshot.metadata.index}, root key closed under ${keyIdOf(storedKeys)}`
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', async () => {
    const snapshot = realSnapshot('static-seal.tar.gz')
    const keyIdOf = (blob: Uint8Array): string => Buffer.from(blob.subarray(-8)).toString()
    const sums = await readSealFacts(inPieces(snapshot), { signal })
    const { metaJson, stateBin } = sums.snapshot.sums
    const list = `${Buffer.from(stateBin).toString('hex')}  state.bin\n${Buffer.from(metaJson).toString('hex')}  meta.json\n`
    const openBlob = async () => await Promise.resolve(Buffer.from(list))
    expect(await example(inPieces(snapshot), openBlob, keyIdOf)).toBe('entry 33, root key closed under static-1')

    const forged = async () => await Promise.resolve(sumsOf(Buffer.from('other'), Buffer.from('other')))
    await expect(example(inPieces(snapshot), forged, keyIdOf)).rejects.toThrow(/state\.bin|meta\.json/)
  })
})
