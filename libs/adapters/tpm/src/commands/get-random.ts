import { TPM_CC_GetRandom, u16 } from '@sealwright/tpm-wire'

import { type TpmConnection } from '../connection.ts'
import { TpmError } from '../errors.ts'
import { readResult } from '../result.ts'

/** What every TPM gives in one answer: the size of its largest digest is at least this. */
const CHUNK_BYTES = 32

/** TPM2_GetRandom (Part 3, clause 16.1), asked again until there are `count` bytes. They cross the bus in the clear. */
export async function getRandomBytes(tpm: TpmConnection, count: number): Promise<Uint8Array> {
  const random = new Uint8Array(count)
  for (let filled = 0; filled < count;) {
    const result = await tpm.run({
      name: 'TPM2_GetRandom',
      commandCode: TPM_CC_GetRandom,
      handles: [],
      parameters: u16(Math.min(CHUNK_BYTES, count - filled)),
    })
    const chunk = readResult('TPM2_GetRandom', result.parameters, reader => reader.sized(count - filled))
    if (chunk.byteLength === 0) throw new TpmError('TPM_PROTOCOL', 'the TPM gives no random bytes')
    random.set(chunk, filled)
    filled += chunk.byteLength
  }
  return random
}
