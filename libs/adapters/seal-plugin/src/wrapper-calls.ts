import { type MessageInitShape, type MessageShape } from '@bufbuild/protobuf'
import {
  type DecryptRequestSchema,
  type DecryptResponseSchema,
  type EncryptRequestSchema,
  type EncryptResponseSchema,
  type KeyIdResponseSchema,
  type SetConfigRequestSchema,
  type SetConfigResponseSchema,
  type TypeResponseSchema,
} from './generated/pb/wrapper_pb.ts'
import { sealBlobOf } from './blob.ts'
import { RefusedCall } from './refused-call.ts'
import { type SealBlob, type SealService } from './seal-service.ts'

interface ForInstance {
  readonly wrapperId: string
}

/** The seven calls of `pb.Wrapper`, free of gRPC. All throw {@link RefusedCall} or what the service throws. */
export interface WrapperCalls {
  setConfig(request: MessageShape<typeof SetConfigRequestSchema>): MessageInitShape<typeof SetConfigResponseSchema>
  type(request: ForInstance): MessageInitShape<typeof TypeResponseSchema>
  keyId(request: ForInstance): MessageInitShape<typeof KeyIdResponseSchema>
  encrypt(request: MessageShape<typeof EncryptRequestSchema>): Promise<MessageInitShape<typeof EncryptResponseSchema>>
  decrypt(
    request: MessageShape<typeof DecryptRequestSchema>,
    signal: AbortSignal,
  ): Promise<{ readonly plaintext: Uint8Array } & MessageInitShape<typeof DecryptResponseSchema>>
  init(request: ForInstance): Promise<Record<string, never>>
  finalize(request: ForInstance): Record<string, never>
}

/**
 * Makes the calls of one session. `SetConfig` is a constructor: each answers with a new instance, which lives until
 * its `Finalize` or the end of the session.
 */
export function createWrapperCalls(parameters: {
  readonly service: SealService
  readonly randomUuid: () => string
  readonly maxInstances: number
}): WrapperCalls {
  const { service, randomUuid, maxInstances } = parameters
  const instances = new Set<string>()

  function assertInstance({ wrapperId }: ForInstance): void {
    if (instances.has(wrapperId)) return
    throw new RefusedCall('notFound', 'SEAL_PLUGIN_NO_INSTANCE', 'SEAL_PLUGIN_NO_INSTANCE: no such seal instance')
  }

  return {
    setConfig(request) {
      if (instances.size >= maxInstances) {
        const code = 'SEAL_PLUGIN_TOO_MANY_INSTANCES'
        throw new RefusedCall('resourceExhausted', code, `${code}: ${maxInstances} seal instances are open already`)
      }
      const description = service.configure(new Map(Object.entries(request.options?.config ?? {})))
      const wrapperId = randomUuid()
      instances.add(wrapperId)
      return { wrapperId, description: { metadata: { ...description.metadata } } }
    },
    type(request) {
      assertInstance(request)
      return { type: service.type }
    },
    keyId(request) {
      assertInstance(request)
      return { keyId: service.keyId() }
    },
    async encrypt(request) {
      assertInstance(request)
      try {
        const { ciphertext, iv, keyId, wrappedKey, mechanism } = await service.encrypt(
          request.plaintext,
          request.options?.aad ?? new Uint8Array(),
        )
        return { blob: { ciphertext, iv, keyInfo: { keyId, wrappedKey, mechanism } } }
      } finally {
        request.plaintext.fill(0)
      }
    },
    async decrypt(request, signal) {
      assertInstance(request)
      const plaintext = await service.decrypt(blobOf(request), request.options?.aad ?? new Uint8Array(), signal)
      return { plaintext }
    },
    async init(request) {
      assertInstance(request)
      await service.prepareInitialise()
      return {}
    },
    finalize(request) {
      assertInstance(request)
      instances.delete(request.wrapperId)
      return {}
    },
  }
}

function blobOf({ blob }: MessageShape<typeof DecryptRequestSchema>): SealBlob {
  const read = blob && sealBlobOf(blob)
  if (read === undefined) {
    const code = 'SEAL_PLUGIN_REQUEST_INCOMPLETE'
    throw new RefusedCall('invalidArgument', code, `${code}: nothing to decrypt`)
  }
  return read
}
