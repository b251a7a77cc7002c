import {
  TPM_CAP_HANDLES,
  TPM_CAP_TPM_PROPERTIES,
  TPM_CC_GetCapability,
  type TpmReader,
  concat,
  u32,
} from '@sealwright/tpm-wire'

import { type Session } from '../authorization.ts'
import { type TpmConnection } from '../connection.ts'
import { readResult } from '../result.ts'

const NOTHING = new Uint8Array(0)
/** More handles of one kind than any TPM has loaded at once. */
const MAX_HANDLES = 64

/**
 * TPM2_GetCapability of TPM_CAP_HANDLES (Part 3, clause 30.2; Part 2, clause 10.8.1).
 *
 * @param first - the kind: `TRANSIENT_FIRST`, or `HMAC_SESSION_FIRST`, which stands for loaded sessions of every type.
 */
export async function readHandles(tpm: TpmConnection, first: number): Promise<readonly number[]> {
  return getCapability(tpm, TPM_CAP_HANDLES, first, MAX_HANDLES, reader =>
    Array.from({ length: reader.u32() }, () => reader.u32()),
  )
}

/**
 * TPM2_GetCapability of TPM_CAP_TPM_PROPERTIES (Part 3, clause 30.2; Part 2, clause 10.8.2).
 *
 * @param auditSession - a salted session, for an answer that nobody on the bus can change.
 * @returns The properties from `first` on, at most `count`; a TPM leaves out those it does not have.
 */
export async function readProperties(
  tpm: TpmConnection,
  first: number,
  count: number,
  auditSession?: Session,
): Promise<ReadonlyMap<number, number>> {
  const read = (reader: TpmReader) =>
    new Map(Array.from({ length: reader.u32() }, () => [reader.u32(), reader.u32()] as const))
  return getCapability(tpm, TPM_CAP_TPM_PROPERTIES, first, count, read, auditSession)
}

async function getCapability<T>(
  tpm: TpmConnection,
  capability: number,
  first: number,
  count: number,
  read: (reader: TpmReader) => T,
  auditSession?: Session,
): Promise<T> {
  const result = await tpm.run(
    {
      name: 'TPM2_GetCapability',
      commandCode: TPM_CC_GetCapability,
      handles: [],
      parameters: concat(u32(capability), u32(first), u32(count)),
    },
    auditSession && {
      kind: 'session',
      session: auditSession,
      authValue: NOTHING,
      provesAuthValue: false,
      audits: true,
    },
  )
  return readResult('TPM2_GetCapability', result.parameters, reader => {
    reader.u8() // moreData: we ask for more than there can be, or for a known range
    const answered = reader.u32()
    if (answered !== capability) throw new RangeError(`capability ${answered}, not ${capability}`)
    return read(reader)
  })
}
