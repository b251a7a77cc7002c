import {
  type EccPublic,
  NAME_BYTES,
  SHA256_BYTES,
  TPM_CC_CreatePrimary,
  type TpmReader,
  concat,
  encodePublic,
  encodeSensitiveCreateOfKey,
  objectName,
  readSizedPublic,
  sized,
  u32,
} from '@sealwright/tpm-wire'

import { type Authorization } from '../authorization.ts'
import { type TpmConnection } from '../connection.ts'
import { TpmError } from '../errors.ts'
import { onlyHandle, readResult } from '../result.ts'

const NAME = 'TPM2_CreatePrimary'
/** Larger than any TPM2B_CREATION_DATA (Part 2, clause 15.2). */
const MAX_CREATION_DATA_BYTES = 1024

/** A primary key, loaded. */
export type PrimaryKey = {
  readonly handle: number
  readonly publicArea: EccPublic
  /** Computed by us from the public area, not taken from the answer. 34 bytes. */
  readonly name: Uint8Array
}

/**
 * TPM2_CreatePrimary (Part 3, clause 24.1): derives a key from the seed of a hierarchy. The same template gives the same key
 * until the seed changes. It is flushed when the operation ends.
 *
 * @throws {@link TpmError} `TPM_PROTOCOL` if the answer is not a key of that template.
 */
export async function createPrimary(
  tpm: TpmConnection,
  hierarchy: number,
  template: EccPublic,
  authorization: Authorization,
): Promise<PrimaryKey> {
  const noPcrs = u32(0)
  const noOutsideInfo = sized()
  const result = await tpm.run(
    {
      name: NAME,
      commandCode: TPM_CC_CreatePrimary,
      handles: [{ handle: hierarchy, name: u32(hierarchy) }],
      firstParameter: encodeSensitiveCreateOfKey(),
      parameters: concat(sized(encodePublic(template)), noOutsideInfo, noPcrs),
      responseHandleCount: 1,
      respondsWithTpm2b: true,
    },
    authorization,
  )
  const handle = onlyHandle(NAME, result.handles)
  tpm.hold(handle)
  const { area, bytes } = readResult(NAME, result.parameters, reader => {
    const created = readSizedPublic(reader)
    readCreation(reader)
    reader.sizedExactly(NAME_BYTES)
    return created
  })
  if (area.type !== 'ecc' || area.unique.x.byteLength === 0 || !isOfTemplate(area, template)) {
    throw new TpmError('TPM_PROTOCOL', `the answer to ${NAME} is another kind of key than asked for`)
  }
  return { handle, publicArea: area, name: objectName(bytes) }
}

/** Reads past creation data, hash and ticket (Part 3, clause 12.1): nothing of ours depends on them. */
export function readCreation(reader: TpmReader): void {
  reader.sized(MAX_CREATION_DATA_BYTES)
  reader.sizedExactly(SHA256_BYTES)
  readTicket(reader)
}

/** Reads a TPMT_TK_CREATION or TPMT_TK_VERIFIED (Part 2, clause 10.7) and returns it as it came. */
export function readTicket(reader: TpmReader): Uint8Array {
  const tagAndHierarchy = reader.bytes(6)
  return concat(tagAndHierarchy, sized(reader.sized(64)))
}

/** Whether `created` is `template` in all but its unique field. */
export function isOfTemplate(created: EccPublic, template: EccPublic): boolean {
  const comparable = encodePublic({ ...created, unique: template.unique })
  return Buffer.compare(comparable, encodePublic(template)) === 0
}
