import { randomBytes } from 'node:crypto'
import { countInMemory, temporaryFolder, waitUntil, withNodeProgram } from '@sealwright/testing-rig'
import { send, sendBytes } from './testing/send.ts'

/** The real API on its socket. A new share is made of random letters, so that only this program and whoever asks for it have it. */
const SOURCE = `
import { randomFillSync } from 'node:crypto'
import { allocateKeyBytes, Secret } from '@sealwright/secret'
import { fakeOperations } from './testing/fake-operations.ts'
import { serveControl } from './testing/serve-control.ts'

const { operations } = fakeOperations()
const [ceremony] = operations.ceremonies()
const newShare = () => {
  const bytes = randomFillSync(allocateKeyBytes(178))
  bytes.forEach((byte, index) => { bytes[index] = 0x61 + (byte % 26) })
  return new Secret(bytes)
}
await serveControl(process.argv[1], {
  onFailure: error => { throw error },
  operations: {
    ...operations,
    enterShare: async ({ share }) => share.reveal(bytes => ({ ...ceremony, count: bytes.length })),
    rehearse: async request => ({ ...await operations.rehearse({ ...request, shares: [] }), isQuorum: request.shares.length === 2 }),
    initialise: async request => ({ ...await operations.initialise(request), shares: [newShare(), newShare()] }),
  },
})
console.log('serves')
process.stdin.on('end', () => process.exit()).resume()
`

const SHARE_BYTES = 178
const NEEDLE_BYTES = 100

function newShare(): Buffer {
  return Buffer.from(randomBytes(SHARE_BYTES).toString('base64url').slice(0, SHARE_BYTES))
}

describe('the memory of an agent', () => {
  it('holds no share any more that came in, was rehearsed, or was handed out', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('s')
    await withNodeProgram({ source: SOURCE, args: [path], workingDirectory: __dirname }, async ({ pid }) => {
      const [entered, first, second] = [newShare(), newShare(), newShare()]
      const answer = await sendBytes(path, 'POST', '/v1/sys/unseal', entered)
      expect(JSON.parse(answer.body.toString())).toMatchObject({ count: SHARE_BYTES })
      const rehearsed = await sendBytes(path, 'POST', '/v1/sys/rehearse', Buffer.concat([first, Buffer.of(10), second]))
      expect(JSON.parse(rehearsed.body.toString())).toMatchObject({ quorum: true })
      const initialised = await send(path, { method: 'POST', path: '/v1/sys/init/people' })
      const handedOut = initialised.body
        .toString()
        .trimEnd()
        .split('\n')
        .map(line => Buffer.from(line))
      expect(handedOut.map(({ length }) => length)).toEqual([SHARE_BYTES, SHARE_BYTES])

      const needles = [entered, first, second, ...handedOut].map(share => share.subarray(-NEEDLE_BYTES))
      await waitUntil(() => countInMemory(pid, needles).every(count => count === 0), {
        ...{ what: 'every share to be gone', timeoutMs: 20_000 },
        describe: () => `${countInMemory(pid, needles).join(' ')} copies`,
      })
    })
  })
})
