import { readReadmeExamples } from '@sealwright/testing-checks'
import { temporaryFolder } from '@sealwright/testing-rig'
import { readFileSync } from 'node:fs'
import { openNewFile, replaceFile } from './index.ts'

async function example({
  path,
  sharesPath,
  bytes,
  assertOpens,
  makeShares,
}: {
  readonly path: string
  readonly sharesPath: string
  readonly bytes: Uint8Array
  readonly assertOpens: (bytes: Uint8Array) => Promise<void>
  readonly makeShares: () => Promise<string>
}): Promise<void> {
  // README
  await replaceFile(path, bytes, {
    mode: 0o600,
    prove: async bytesReadBack => {
      await assertOpens(bytesReadBack) // if it throws, the old file stays
    },
  })

  await using shares = await openNewFile(sharesPath, { mode: 0o600 }) // EEXIST if anything is there
  await shares.fill(await makeShares()) // if that throws, sharesPath is free again
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', async () => {
    await using folder = await temporaryFolder()
    const [path, sharesPath] = [folder.join('keyring'), folder.join('shares')]
    const proven: string[] = []
    await example({
      ...{ path, sharesPath, bytes: Buffer.from('new') },
      assertOpens: bytes => Promise.resolve(void proven.push(Buffer.from(bytes).toString())),
      makeShares: () => Promise.resolve('shares'),
    })
    expect(proven).toEqual(['new'])
    expect([readFileSync(path, 'utf8'), readFileSync(sharesPath, 'utf8')]).toEqual(['new', 'shares'])
  })
})
