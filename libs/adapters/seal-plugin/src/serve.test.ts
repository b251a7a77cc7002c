import { status } from '@grpc/grpc-js'
import { temporaryFolder } from '@sealwright/testing-rig'
import { randomBytes } from 'node:crypto'
import { type SealPluginErrorCode } from './errors.ts'
import { Wrapper } from './generated/pb/wrapper_pb.ts'
import { SealServiceRefusal } from './seal-service.ts'
import { type ServedFolder, servedFolder } from './testing/served-folder.ts'
import { configured, failureOf } from './testing/test-host.ts'

let folder: ServedFolder

beforeEach(async () => {
  folder = servedFolder(await temporaryFolder())
})

afterEach(async () => {
  await folder.close()
})

describe('serveSealPlugin', () => {
  it('answers all calls of a host', async () => {
    await folder.serve()
    const one = await folder.openHost()
    const wrapperId = await configured(one)
    expect((await one.call(Wrapper.method.type, { wrapperId })).type).toBe('memory')
    await one.call(Wrapper.method.init, { wrapperId })
    const { blob } = await one.call(Wrapper.method.encrypt, { wrapperId, plaintext: Buffer.from('secret') })
    expect(blob?.keyInfo?.keyId).toBe((await one.call(Wrapper.method.keyId, { wrapperId })).keyId)
    const opened = await one.call(Wrapper.method.decrypt, { wrapperId, ...(blob && { blob }) })
    expect(Buffer.from(opened.plaintext).toString()).toBe('secret')
    await one.call(Wrapper.method.finalize, { wrapperId })
    expect((await failureOf(one.call(Wrapper.method.type, { wrapperId }))).code).toBe(status.NOT_FOUND)
    const methods = folder.events.flatMap(event => (event.kind === 'called' ? [event.method] : []))
    expect(methods).toEqual(['SetConfig', 'Type', 'Init', 'Encrypt', 'KeyId', 'Decrypt', 'Finalize', 'Type'])
  })

  it('carries a wrapped key of a hundred kilobytes, and wipes the opened plaintext behind the answer', async () => {
    const wrappedKey = randomBytes(100_000)
    const plaintext = Buffer.from('barrier key')
    await folder.serve({
      encrypt: () => ({
        ciphertext: Buffer.of(1),
        iv: Buffer.of(2),
        keyId: 'k1',
        wrappedKey,
        mechanism: 2n ** 64n - 1n,
      }),
      decrypt: blob => Promise.resolve(Buffer.from(blob.wrappedKey).equals(wrappedKey) ? plaintext : Buffer.of()),
    })
    const one = await folder.openHost()
    const wrapperId = await configured(one)
    const { blob } = await one.call(Wrapper.method.encrypt, { wrapperId })
    expect(blob?.keyInfo?.mechanism).toBe(2n ** 64n - 1n)
    const opened = await one.call(Wrapper.method.decrypt, { wrapperId, ...(blob && { blob }) })
    expect(Buffer.from(opened.plaintext).toString()).toBe('barrier key')
    expect(plaintext.every(byte => byte === 0)).toBe(true)
  })

  it('refuses a message over the limit', async () => {
    await folder.serve({}, { limits: { maxMessageBytes: 4096 } })
    const one = await folder.openHost()
    const wrapperId = await configured(one)
    const call = one.call(Wrapper.method.encrypt, { wrapperId, plaintext: Buffer.alloc(5000) })
    expect((await failureOf(call)).code).toBe(status.RESOURCE_EXHAUSTED)
    expect((await one.call(Wrapper.method.type, { wrapperId })).type).toBe('memory')
  })

  it('lets no internals out of Encrypt, and only words meant for the server log out of Decrypt and SetConfig', async () => {
    const cause = new Error('open /dev/tpmrm0: EACCES')
    const refusal = new SealServiceRefusal('SEAL_WAITING', 'enter shares', { cause })
    await folder.serve({
      configure: options => {
        if (options.size > 0) throw new SealServiceRefusal('OPTION_UNKNOWN', 'unknown option "x"', { cause })
        return { metadata: {} }
      },
      encrypt: () => {
        throw cause
      },
      keyId: () => {
        throw refusal
      },
      decrypt: () => Promise.reject(refusal),
    })
    const one = await folder.openHost()
    const wrapperId = await configured(one)
    const fixed = 'SEAL_PLUGIN_SERVICE_FAILED: the seal agent could not answer, its own log says why'
    const blob = { keyInfo: {} }
    expect(await failureOf(one.call(Wrapper.method.encrypt, { wrapperId }))).toEqual({
      code: status.UNKNOWN,
      text: fixed,
    })
    expect(await failureOf(one.call(Wrapper.method.keyId, { wrapperId }))).toEqual({
      code: status.UNKNOWN,
      text: fixed,
    })
    const decrypted = await failureOf(one.call(Wrapper.method.decrypt, { wrapperId, blob }))
    expect(decrypted).toEqual({ code: status.UNKNOWN, text: 'SEAL_WAITING: enter shares' })
    const configuredAgain = await failureOf(one.call(Wrapper.method.setConfig, { options: { config: { x: '1' } } }))
    expect(configuredAgain.text).toBe('OPTION_UNKNOWN: unknown option "x"')
    const seen = await folder.eventOf('called', event => event.method === 'Encrypt')
    expect(seen.failure).toEqual({ code: 'SEAL_PLUGIN_SERVICE_FAILED', cause })
  })

  it('tells the service when the host of a Decrypt is gone', async () => {
    const asked = Promise.withResolvers<undefined>()
    const aborted = Promise.withResolvers<undefined>()
    await folder.serve({
      decrypt: (_blob, _aad, signal) =>
        new Promise((_resolve, reject) => {
          asked.resolve(undefined)
          signal.addEventListener('abort', () => {
            aborted.resolve(undefined)
            reject(new Error('cancelled'))
          })
        }),
    })
    const one = await folder.openHost()
    const cancel = one.openStdio()
    const wrapperId = await configured(one)
    const call = failureOf(one.call(Wrapper.method.decrypt, { wrapperId, blob: { keyInfo: {} } }))
    await asked.promise
    cancel()
    await aborted.promise
    expect((await call).code).not.toBe('answered')
  })
})

describe('two agents in one folder', () => {
  it('the second is refused, and the first serves on', async () => {
    await folder.serve()
    const second = await failureOf(folder.serve())
    expect(second.code).toBe('SEAL_PLUGIN_DIRECTORY_IN_USE')
    expect(await configured(await folder.openHost())).not.toBe('')
  })

  it('one after the other is fine', async () => {
    await (await folder.serve()).close()
    await folder.serve()
    expect(await configured(await folder.openHost())).not.toBe('')
  })

  it('a closed one never starts', async () => {
    const closed = await failureOf(folder.serve({}, { signal: AbortSignal.abort() }))
    expect(closed).toMatchObject({ code: 'SEAL_PLUGIN_CLOSED' satisfies SealPluginErrorCode })
  })
})
