import { fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { SealPluginError } from './errors.ts'
import { BlobSchema } from './generated/pb/wrapper_pb.ts'
import { type SealBlob } from './seal-service.ts'

/**
 * Reads a blob as OpenBao keeps it in its storage and in snapshots, and as a raft leader hands it out as a challenge.
 *
 * @throws {@link SealPluginError} `SEAL_PLUGIN_BLOB_MALFORMED`.
 */
export function decodeSealBlob(bytes: Uint8Array): SealBlob {
  let message: MessageShape<typeof BlobSchema>
  try {
    message = fromBinary(BlobSchema, bytes)
  } catch (cause) {
    throw malformed('it is no protobuf message', cause)
  }
  const blob = sealBlobOf(message)
  if (blob === undefined) throw malformed('it names no key')
  return blob
}

/** The parts of a blob; `undefined` if it does not say which key closed it. */
export function sealBlobOf({ ciphertext, iv, keyInfo }: MessageShape<typeof BlobSchema>): SealBlob | undefined {
  if (keyInfo === undefined) return undefined
  return { ciphertext, iv, keyId: keyInfo.keyId, wrappedKey: keyInfo.wrappedKey, mechanism: keyInfo.mechanism }
}

function malformed(why: string, cause?: unknown): SealPluginError {
  return new SealPluginError('SEAL_PLUGIN_BLOB_MALFORMED', `these bytes are no blob of a seal plugin: ${why}`, {
    cause,
  })
}
