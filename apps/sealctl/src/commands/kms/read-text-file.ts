import { readFile } from 'node:fs/promises'
import { errorCodeOf } from '@sealwright/system-error'
import { SealctlError } from '../../errors.ts'

/** Where a record of `verify-rotation` is wanted. */
export const RECORD_ADVICE = 'name a file that --output wrote'

/** @throws {@link SealctlError} `SEALCTL_INPUT_UNREADABLE`. */
export async function readTextFile(path: string, advice: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SealctlError(
      'SEALCTL_INPUT_UNREADABLE',
      `cannot read ${path} (${errorCodeOf(cause) ?? 'no code'}): ${advice}`,
      { cause },
    )
  }
}
