import {
  type PcrValue,
  SHA256_BYTES,
  TPM_CC_PCR_Read,
  encodePcrSelection,
  readPcrSelection,
} from '@sealwright/tpm-wire'

import { type TpmConnection } from '../connection.ts'
import { TpmError } from '../errors.ts'
import { readResult } from '../result.ts'

const NAME = 'TPM2_PCR_Read'

/**
 * TPM2_PCR_Read of the SHA-256 bank (Part 3, clause 22.4), asked again until all are there: one answer holds at most eight.
 *
 * @param indices - ascending PCR numbers, at least one.
 * @throws {@link TpmError} `TPM_INVALID_ARGUMENT` if this TPM has no such PCR in that bank.
 */
export async function pcrRead(tpm: TpmConnection, indices: readonly number[]): Promise<readonly PcrValue[]> {
  const values: PcrValue[] = []
  let wanted = indices
  while (wanted.length > 0) {
    const result = await tpm.run({
      name: NAME,
      commandCode: TPM_CC_PCR_Read,
      handles: [],
      parameters: encodePcrSelection(wanted),
    })
    const answered = readResult(NAME, result.parameters, reader => {
      reader.u32() // pcrUpdateCounter
      const selected = readPcrSelection(reader)
      const count = reader.u32()
      if (count !== selected.length) throw new RangeError(`${count} values for ${selected.length} PCRs`)
      return selected.map(index => ({ index, value: Uint8Array.from(reader.sizedExactly(SHA256_BYTES)) }))
    })
    if (answered.length === 0) {
      throw new TpmError('TPM_INVALID_ARGUMENT', `this TPM has no SHA-256 bank with PCR ${wanted.join(', ')}`)
    }
    values.push(...answered)
    const known = new Set(answered.map(({ index }) => index))
    wanted = wanted.filter(index => !known.has(index))
  }
  return values.toSorted((one, other) => one.index - other.index)
}
