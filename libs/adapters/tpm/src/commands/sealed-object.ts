import {
  type KeyedHashPublic,
  MAX_SEALED_BYTES,
  NAME_BYTES,
  TPM_ALG_NULL,
  TPM_CC_Create,
  TPM_CC_Import,
  TPM_CC_Load,
  TPM_CC_Unseal,
  concat,
  encodePublic,
  encodeSensitiveCreate,
  objectName,
  readSizedPublic,
  sized,
  u16,
  u32,
} from '@sealwright/tpm-wire'

import { type Authorization, type Session } from '../authorization.ts'
import { type NamedHandle, type TpmConnection } from '../connection.ts'
import { TpmError } from '../errors.ts'
import { copyKeyBytes } from '../key-copy.ts'
import { onlyHandle, readResult } from '../result.ts'
import { readCreation } from './create-primary.ts'

const NOTHING = new Uint8Array(0)
/** Larger than any TPM2B_PRIVATE of sealed data (Part 2, clause 12.3.7). */
export const MAX_PRIVATE_BYTES = 512

/** A sealed object as two byte strings: TPMT_PUBLIC and the contents of a TPM2B_PRIVATE. Neither is secret. */
export type SealedObject = { readonly publicArea: Uint8Array; readonly privateArea: Uint8Array }

/** An object made for this TPM elsewhere: see `createImportBlob`. */
export type ImportableObject = {
  readonly publicArea: Uint8Array
  readonly duplicate: Uint8Array
  readonly encryptedSeed: Uint8Array
}

/**
 * TPM2_Create of sealed data (Part 3, clause 12.1). The data travels encrypted.
 *
 * @param session - a salted session, which also proves the parent's empty auth value.
 */
export async function createSealed(
  tpm: TpmConnection,
  parent: NamedHandle,
  session: Session,
  input: { readonly template: KeyedHashPublic; readonly authValue: Uint8Array; readonly data: Uint8Array },
): Promise<SealedObject> {
  const name = 'TPM2_Create'
  const sensitive = encodeSensitiveCreate(input.authValue, input.data)
  tpm.wipeAtEnd(sensitive)
  const noPcrs = u32(0)
  const noOutsideInfo = sized()
  const result = await tpm.run(
    {
      name,
      commandCode: TPM_CC_Create,
      handles: [parent],
      firstParameter: sensitive,
      parameters: concat(sized(encodePublic(input.template)), noOutsideInfo, noPcrs),
      respondsWithTpm2b: true,
    },
    withEmptyAuth(session),
  )
  return readResult(name, result.parameters, reader => {
    const privateArea = Uint8Array.from(reader.sized(MAX_PRIVATE_BYTES))
    const { area, bytes } = readSizedPublic(reader)
    readCreation(reader)
    const isAsAsked =
      area.type === 'keyedHash' &&
      area.unique.byteLength > 0 &&
      Buffer.compare(bytes, encodePublic({ ...input.template, unique: area.unique })) === 0
    if (!isAsAsked) {
      throw new TpmError('TPM_PROTOCOL', `the answer to ${name} is another kind of object than asked for`)
    }
    return { publicArea: bytes, privateArea }
  })
}

/**
 * TPM2_Load (Part 3, clause 12.2). The TPM checks the integrity of both parts. It is flushed when the operation ends.
 *
 * @throws {@link TpmError} `TPM_PROTOCOL` if the TPM says that it loaded something else.
 */
export async function loadSealed(
  tpm: TpmConnection,
  parent: NamedHandle,
  session: Session,
  object: SealedObject,
): Promise<NamedHandle> {
  const name = 'TPM2_Load'
  const result = await tpm.run(
    {
      name,
      commandCode: TPM_CC_Load,
      handles: [parent],
      firstParameter: object.privateArea,
      parameters: sized(object.publicArea),
      responseHandleCount: 1,
      respondsWithTpm2b: true,
    },
    withEmptyAuth(session),
  )
  const handle = onlyHandle(name, result.handles)
  tpm.hold(handle)
  const expected = objectName(object.publicArea)
  const loaded = readResult(name, result.parameters, reader => reader.sizedExactly(NAME_BYTES))
  if (Buffer.compare(loaded, expected) !== 0) {
    throw new TpmError('TPM_PROTOCOL', `the answer to ${name} names another object than we sent`)
  }
  return { handle, name: expected }
}

/**
 * TPM2_Import (Part 3, clause 13.3): turns an object that was wrapped for this storage key into one that TPM2_Load takes.
 * There is no inner wrapper, so encryption key and symmetric algorithm are empty.
 */
export async function importSealed(
  tpm: TpmConnection,
  parent: NamedHandle,
  session: Session,
  object: ImportableObject,
): Promise<SealedObject> {
  const name = 'TPM2_Import'
  const result = await tpm.run(
    {
      name,
      commandCode: TPM_CC_Import,
      handles: [parent],
      firstParameter: NOTHING,
      parameters: concat(
        sized(object.publicArea),
        sized(object.duplicate),
        sized(object.encryptedSeed),
        u16(TPM_ALG_NULL),
      ),
      respondsWithTpm2b: true,
    },
    withEmptyAuth(session),
  )
  const privateArea = readResult(name, result.parameters, reader => Uint8Array.from(reader.sized(MAX_PRIVATE_BYTES)))
  return { publicArea: object.publicArea, privateArea }
}

/**
 * TPM2_Unseal (Part 3, clause 12.7). The data travels encrypted; the caller owns and wipes what is returned, outside the
 * JavaScript heap.
 *
 * @param authorization - a salted session; it must encrypt, or the data would cross the bus in the clear.
 * @param options.triesPin - whether the authorisation is by a PIN, which the TPM counts if it is wrong.
 */
export async function unsealObject(
  tpm: TpmConnection,
  object: NamedHandle,
  authorization: Extract<Authorization, { kind: 'session' }>,
  { triesPin }: { readonly triesPin: boolean },
): Promise<Uint8Array> {
  const name = 'TPM2_Unseal'
  if (!authorization.session.encrypts)
    throw new TpmError('TPM_INVALID_ARGUMENT', 'refused to unseal without encryption')
  const result = await tpm.run(
    { name, commandCode: TPM_CC_Unseal, handles: [object], respondsWithTpm2b: true, triesPin },
    authorization,
  )
  try {
    return readResult(name, result.parameters, reader => copyKeyBytes(reader.sized(MAX_SEALED_BYTES)))
  } finally {
    result.parameters.fill(0)
  }
}

/** Authorises with a session for an object whose auth value is empty. */
export function withEmptyAuth(session: Session): Extract<Authorization, { kind: 'session' }> {
  return { kind: 'session', session, authValue: NOTHING, provesAuthValue: true }
}
