import { type DescMessage, type MessageShape, fromBinary, toJson } from '@bufbuild/protobuf'
import { create } from '@bufbuild/protobuf'
import { randomBytes, randomUUID } from 'node:crypto'
import {
  DecryptRequestSchema,
  EncryptRequestSchema,
  SetConfigRequestSchema,
  Wrapper,
} from './generated/pb/wrapper_pb.ts'
import { RefusedCall, refusedCallFor } from './refused-call.ts'
import { type SealService, SealServiceRefusal } from './seal-service.ts'
import { memorySeal } from './testing/memory-seal.ts'
import { readVectors } from './testing/test-host.ts'
import { createWrapperCalls } from './wrapper-calls.ts'

const KEY = randomBytes(32)

function makeCalls(overrides: Partial<SealService> = {}) {
  return createWrapperCalls({ service: memorySeal(KEY, overrides), randomUuid: randomUUID, maxInstances: 2 })
}

function setConfig(config: Record<string, string> = {}): MessageShape<typeof SetConfigRequestSchema> {
  return create(SetConfigRequestSchema, { options: { config } })
}

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'answered'
  } catch (error) {
    return error instanceof RefusedCall ? `${error.status} ${error.code}` : String(error)
  }
}

describe('createWrapperCalls', () => {
  it('hands the options of the stanza to the service, and answers with its metadata', () => {
    let seen: ReadonlyMap<string, string> = new Map()
    const calls = makeCalls({
      configure(options) {
        seen = options
        return { metadata: { key_id: 'k1' } }
      },
    })
    const answer = calls.setConfig(setConfig({ some_option: 'x' }))
    expect([...seen]).toEqual([['some_option', 'x']])
    expect(answer.description).toEqual({ metadata: { key_id: 'k1' } })
  })

  it('makes a new instance for each SetConfig, up to the limit', async () => {
    const calls = makeCalls()
    const first = calls.setConfig(setConfig()).wrapperId
    expect(calls.setConfig(setConfig()).wrapperId).not.toBe(first)
    expect(await codeOf(() => calls.setConfig(setConfig()))).toBe('resourceExhausted SEAL_PLUGIN_TOO_MANY_INSTANCES')
  })

  it('knows no instance before its SetConfig and after its Finalize', async () => {
    const calls = makeCalls()
    const wrapperId = calls.setConfig(setConfig()).wrapperId ?? ''
    expect(calls.type({ wrapperId })).toEqual({ type: 'memory' })
    calls.finalize({ wrapperId })
    for (const id of [wrapperId, randomUUID(), '']) {
      const uses = [
        () => calls.type({ wrapperId: id }),
        () => calls.keyId({ wrapperId: id }),
        () => calls.init({ wrapperId: id }),
        () => calls.finalize({ wrapperId: id }),
        () => calls.encrypt(create(EncryptRequestSchema, { wrapperId: id })),
        () => calls.decrypt(create(DecryptRequestSchema, { wrapperId: id }), new AbortController().signal),
      ]
      for (const use of uses) expect(await codeOf(use)).toBe('notFound SEAL_PLUGIN_NO_INSTANCE')
    }
  })

  it('opens what it closed, and wipes the plaintext it was given', async () => {
    const calls = makeCalls()
    const wrapperId = calls.setConfig(setConfig()).wrapperId ?? ''
    const request = create(EncryptRequestSchema, { wrapperId, plaintext: Buffer.from('barrier key') })
    const { blob } = await calls.encrypt(request)
    expect(request.plaintext.every(byte => byte === 0)).toBe(true)
    const opened = await calls.decrypt(
      create(DecryptRequestSchema, { wrapperId, ...(blob && { blob }) }),
      new AbortController().signal,
    )
    expect(Buffer.from(opened.plaintext).toString()).toBe('barrier key')
  })

  it('wipes the plaintext also when the service fails', async () => {
    const calls = makeCalls({
      encrypt() {
        throw new Error('no')
      },
    })
    const wrapperId = calls.setConfig(setConfig()).wrapperId ?? ''
    const request = create(EncryptRequestSchema, { wrapperId, plaintext: Buffer.from('barrier key') })
    await expect(calls.encrypt(request)).rejects.toThrow('no')
    expect(request.plaintext.every(byte => byte === 0)).toBe(true)
  })

  it('refuses to decrypt nothing', async () => {
    const calls = makeCalls()
    const wrapperId = calls.setConfig(setConfig()).wrapperId ?? ''
    const request = create(DecryptRequestSchema, { wrapperId })
    expect(await codeOf(() => calls.decrypt(request, new AbortController().signal))).toBe(
      'invalidArgument SEAL_PLUGIN_REQUEST_INCOMPLETE',
    )
  })
})

describe('refusedCallFor', () => {
  const cause = new Error('open /dev/tpmrm0: EACCES')
  const refusal = new SealServiceRefusal('TPM_GONE', 'TPM at /dev/tpmrm0\nis gone', { cause })
  const open = new SealServiceRefusal('TPM_GONE', 'TPM at /dev/tpmrm0', { publicMessage: 'no seal is open' })

  it('gives a fixed text to everybody for an error that is no refusal', () => {
    for (const audience of ['serverLog', 'anybody'] as const) {
      const { message, code } = refusedCallFor(cause, audience)
      expect(code).toBe('SEAL_PLUGIN_SERVICE_FAILED')
      expect(message).toBe('SEAL_PLUGIN_SERVICE_FAILED: the seal agent could not answer, its own log says why')
    }
  })

  it('gives the words of a refusal to the server log, in one line', () => {
    expect(refusedCallFor(refusal, 'serverLog').message).toBe('TPM_GONE: TPM at /dev/tpmrm0 is gone')
  })

  it('gives only the public words to anybody', () => {
    expect(refusedCallFor(refusal, 'anybody').message).toMatch(/^SEAL_PLUGIN_SERVICE_FAILED: /)
    expect(refusedCallFor(refusal, 'anybody').code).toBe('TPM_GONE')
    expect(refusedCallFor(open, 'anybody').message).toBe('TPM_GONE: no seal is open')
  })

  it('cuts long texts', () => {
    const long = new SealServiceRefusal('LONG', 'x'.repeat(10_000))
    expect(refusedCallFor(long, 'serverLog').message.length).toBeLessThan(600)
  })
})

interface RequestVector {
  readonly name: string
  readonly method: string
  readonly requestHex: string
  readonly expected: Readonly<Record<string, unknown>>
}

describe('requests recorded from OpenBao', () => {
  it('are decoded field by field', async () => {
    const { requests } = (await readVectors('openbao-2.7.2.json')) as { readonly requests: readonly RequestVector[] }
    for (const { name, method, requestHex, expected } of requests) {
      const schema: DescMessage | undefined = Wrapper.methods.find(each => each.name === method)?.input
      if (schema === undefined) throw new Error(`${name}: no method ${method}`)
      const message = fromBinary(schema, Buffer.from(requestHex, 'hex'))
      expect({ name, fields: flatten(toJson(schema, message)) }).toEqual({ name, fields: expected })
    }
  })
})

/** The protobuf JSON form, in the words of the vectors. */
function flatten(json: unknown): Record<string, unknown> {
  const { wrapperId, plaintext, options, blob } = json as {
    wrapperId?: string
    plaintext?: string
    options?: { config?: Record<string, string>; aad?: string }
    blob?: { ciphertext: string; iv: string; keyInfo: { keyId: string; mechanism: string; wrappedKey: string } }
  }
  const bytes = (text = '') => Buffer.from(text, 'base64')
  return {
    ...(wrapperId !== undefined && { wrapperId }),
    ...(options?.config && { config: options.config }),
    ...(plaintext !== undefined && { plaintextHex: bytes(plaintext).toString('hex') }),
    ...((plaintext !== undefined || blob) && { aadHex: bytes(options?.aad).toString('hex') }),
    ...(blob && {
      keyId: blob.keyInfo.keyId,
      mechanism: blob.keyInfo.mechanism,
      wrappedKeyHex: bytes(blob.keyInfo.wrappedKey).toString('hex'),
      ciphertextBytes: bytes(blob.ciphertext).length,
      ivBytes: bytes(blob.iv).length,
    }),
  }
}
