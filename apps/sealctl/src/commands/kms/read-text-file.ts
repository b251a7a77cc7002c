import { readFile } from 'node:fs/promises'
import { errorCodeOf } from '@sealwright/system-error'
import { SealctlError } from '../../errors.ts'

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
