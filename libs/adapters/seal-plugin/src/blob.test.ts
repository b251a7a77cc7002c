import { create, toBinary } from '@bufbuild/protobuf'
import { decodeSealBlob } from './blob.ts'
import { BlobSchema } from './generated/pb/wrapper_pb.ts'

const stored = {
  ciphertext: Uint8Array.of(1, 2, 3),
  iv: new Uint8Array(),
  keyInfo: { keyId: 'k1', wrappedKey: Uint8Array.of(4), mechanism: 0n },
}

describe('a blob out of the storage of OpenBao', () => {
  it('is read as a seal gave it', () => {
    expect(decodeSealBlob(toBinary(BlobSchema, create(BlobSchema, stored)))).toEqual({
      ...{ ciphertext: stored.ciphertext, iv: stored.iv },
      ...stored.keyInfo,
    })
  })

  it('is refused if it is cut, or names no key', () => {
    const whole = toBinary(BlobSchema, create(BlobSchema, stored))
    for (let end = 0; end < whole.length; end += 1) {
      let outcome: unknown
      try {
        outcome = decodeSealBlob(whole.subarray(0, end))
      } catch (error) {
        outcome = error
      }
      expect(outcome).toMatchObject({ code: 'SEAL_PLUGIN_BLOB_MALFORMED' })
    }
  })
})
