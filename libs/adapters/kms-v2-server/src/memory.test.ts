import { countInMemory, startProcess, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { kmsClient } from './testing/kms-client.ts'

/** Often enough that the garbage collector moves what lies on the JavaScript heap. */
const CALLS = 500
/** At once. */
const BATCH = 50
/**
 * glibc, "Memory Allocation Tunables": frees no byte as it was. Node reads a socket into memory that it copies, to give back what it did
 * not need, and frees: nobody but the C library can overwrite that.
 */
const OVERWRITES_FREED_MEMORY = { GLIBC_TUNABLES: 'glibc.malloc.perturb=90:glibc.malloc.arena_max=1' }
const { encrypt, decrypt } = KeyManagementService.method
const MASK = 0x5a

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

/** Serves a provider whose Decrypt answers with one plaintext, and that keeps its secrets if it is told to. */
const source = `
  import { serveKmsV2 } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
  import { allocateKeyBytes, Secret } from '@sealwright/secret'
  import { listenOnUnixSocket } from '@sealwright/unix-socket'

  const [path, maskedHex, mode] = process.argv.slice(1)
  const masked = Buffer.from(maskedHex, 'hex')
  const kept = []
  const keep = secret => {
    if (mode === 'keep') kept.push(secret.clone())
  }
  const service = {
    status: () => ({ version: 'v2', healthz: 'ok', keyId: 'k' }),
    async encrypt({ plaintext }) {
      keep(plaintext)
      return { ciphertext: Buffer.alloc(32), keyId: 'k', annotations: new Map() }
    },
    async decrypt() {
      const plaintext = allocateKeyBytes(masked.length)
      for (const [index, byte] of masked.entries()) plaintext[index] = byte ^ ${MASK}
      const secret = new Secret(plaintext)
      keep(secret)
      return { plaintext: secret }
    },
  }
  const server = await serveKmsV2({ service, path, listen: listenOnUnixSocket, now: () => performance.now(), onFailure: console.error })
  process.on('SIGTERM', () => kept && server.close())
`

/** How often the plaintexts of many Encrypts, and of many Decrypts, stand in the memory of the server after them. */
async function countAfterCalls(
  mode: 'keep' | 'wipe',
  environment: Readonly<Record<string, string>>,
): Promise<readonly number[]> {
  const [encrypted, decrypted] = [randomBytes(32), randomBytes(32)]
  const path = folder.join(`${mode}.sock`)
  const masked = Buffer.from(decrypted.map(byte => byte ^ MASK)).toString('hex')
  await using server = await startProcess({
    name: 'server',
    command: process.execPath,
    args: ['--input-type=module', '--eval', source, '--', path, masked, mode],
    logDirectory: folder.path,
    workingDirectory: import.meta.dirname,
    environment,
  })
  await server.waitFor(() => existsSync(path), { what: 'its socket', timeoutMs: 20_000 })
  using client = kmsClient(path)
  for (let call = 0; call < CALLS; call += BATCH) {
    const batch = Array.from({ length: BATCH }, () => [
      client.call(encrypt, { plaintext: encrypted }),
      client.call(decrypt, { ciphertext: randomBytes(32), keyId: 'k' }),
    ])
    await Promise.all(batch.flat())
  }
  const { plaintext } = await client.call(decrypt, { ciphertext: randomBytes(32), keyId: 'k' })
  expect(Buffer.from(plaintext)).toEqual(decrypted)
  return countInMemory(server.pid, [encrypted, decrypted])
}

describe('the memory of the server after many calls', () => {
  it('holds none of their plaintexts, if the C library overwrites what is freed', async () => {
    expect(await countAfterCalls('wipe', OVERWRITES_FREED_MEMORY)).toEqual([0, 0])
  })

  it('holds without that only what Node has read from the socket and freed, until it is used again', async () => {
    const [encrypted, decrypted] = await countAfterCalls('wipe', {})
    expect(encrypted).toBeLessThan(CALLS / 2)
    expect(decrypted).toBe(0)
  })

  it('would show them: plaintexts that are kept are found', async () => {
    for (const count of await countAfterCalls('keep', OVERWRITES_FREED_MEMORY))
      expect(count).toBeGreaterThanOrEqual(CALLS)
  })
})
