import { join } from 'node:path'
import { loadPackageDefinition, Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { repositoryRoot, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { KmsCallError, type KmsClient, kmsClient } from './index.ts'

let folder: TemporaryFolder
let server: Server
let client: KmsClient

interface Call {
  readonly request: { readonly plaintext: Buffer; readonly ciphertext: Buffer; readonly uid: string }
}
type Done = (error: { code: status; details: string } | null, answer?: object) => void

/** Answers Encrypt with what it was given, and Decrypt with `NOT_FOUND`; Status never. */
const service = {
  Status: () => undefined,
  Encrypt: ({ request }: Call, done: Done) => {
    done(null, { ciphertext: request.plaintext, keyId: request.uid, annotations: { 'a.example': Buffer.of(1) } })
  },
  Decrypt: (_call: Call, done: Done) => {
    done({ code: status.NOT_FOUND, details: 'no such key' })
  },
}

beforeAll(async () => {
  folder = await temporaryFolder()
  const { v2 } = loadPackageDefinition(loadSync(join(repositoryRoot(), 'proto/v2/api.proto'))) as unknown as {
    v2: { KeyManagementService: { service: ServiceDefinition } }
  }
  server = new Server()
  server.addService(v2.KeyManagementService.service, service)
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  server.bindAsync(`unix:${folder.join('kms.sock')}`, ServerCredentials.createInsecure(), error => {
    if (error === null) resolve(undefined)
    else reject(error)
  })
  await promise
  client = kmsClient(folder.join('kms.sock'))
})

afterAll(async () => {
  client.close()
  server.forceShutdown()
  await folder.remove()
})

describe('kmsClient', () => {
  it('gives what the provider answers, with an id for each call', async () => {
    const [first, second] = [await client.encrypt(Buffer.from('a')), await client.encrypt(Buffer.from('b'))]
    expect([first.ciphertext, second.ciphertext]).toEqual([Buffer.from('a'), Buffer.from('b')])
    expect(first.annotations).toEqual({ 'a.example': Buffer.of(1) })
    expect(first.keyId).toMatch(/^[\da-f-]{36}$/)
    expect(second.keyId).not.toBe(first.keyId)
  })

  it('rejects with the name of the status, and the words', async () => {
    const call = client.decrypt({ ciphertext: Buffer.of(1), keyId: 'k', annotations: {} })
    await expect(call).rejects.toThrow(KmsCallError)
    await expect(call).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'no such key' })
  })

  it('waits no longer than it is told', async () => {
    await expect(client.status({ timeoutMs: 50 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })
})
