import { grpcStatusOf, KmsError, type KmsV2Service } from '@sealwright/kms-v2'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { type UnaryMethod, type UnaryService } from './grpc-unary/method.ts'
import {
  decodeDecryptRequest,
  decodeEncryptRequest,
  decodeStatusRequest,
  encodeDecryptResponse,
  encodeEncryptResponse,
  encodeStatusResponse,
} from './messages.ts'

/** A method of the protocol, by the name that it has there. */
export type KmsMethod = 'Status' | 'Encrypt' | 'Decrypt'

/** The provider as methods of gRPC: bytes in, bytes out. */
export function unaryServiceOf(service: KmsV2Service): UnaryService<KmsMethod> {
  const methods: readonly UnaryMethod<KmsMethod>[] = [
    {
      name: 'Status',
      answersWithSecret: false,
      handle(message) {
        decodeStatusRequest(message)
        return encodeStatusResponse(service.status())
      },
    },
    {
      name: 'Encrypt',
      answersWithSecret: false,
      async handle(message, call) {
        const request = decodeEncryptRequest(message)
        try {
          return encodeEncryptResponse(await service.encrypt(request, call))
        } finally {
          request.plaintext.wipe()
        }
      },
    },
    {
      name: 'Decrypt',
      answersWithSecret: true,
      async handle(message, call) {
        return encodeDecryptResponse(await service.decrypt(decodeDecryptRequest(message), call))
      },
    },
  ]
  return {
    methods: new Map(methods.map(method => [`/${KeyManagementService.typeName}/${method.name}`, method])),
    refusalOf: error => (error instanceof KmsError ? { status: grpcStatusOf(error), message: error.message } : null),
  }
}
