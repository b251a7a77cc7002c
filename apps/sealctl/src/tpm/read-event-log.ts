import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { type BootLog, MAX_BOOT_LOG_BYTES, parseBootLog } from '@sealwright/boot-log'
import { TpmCommandError } from './errors.ts'

/** Where Linux gives the event log of the firmware. */
export const DEFAULT_EVENT_LOG = '/sys/kernel/security/tpm0/binary_bios_measurements'

const CHUNK_BYTES = 65_536

/**
 * Reads an event log. The kernel gives no size of it, and a page or less at a time.
 *
 * @throws {@link TpmCommandError} `TPM_COMMAND_INPUT_UNREADABLE`; {BootLogError}.
 */
export async function readEventLog(path: string): Promise<BootLog> {
  const chunks: Uint8Array[] = []
  let byteLength = 0
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    // One byte more than allowed is enough for the parser to refuse it.
    while (byteLength <= MAX_BOOT_LOG_BYTES) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES)
      if (bytesRead === 0) break
      chunks.push(buffer.subarray(0, bytesRead))
      byteLength += bytesRead
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TpmCommandError(
      'TPM_COMMAND_INPUT_UNREADABLE',
      `cannot read the event log ${path}: run as root on the machine that booted, or name a copy with --event-log (${reason})`,
      { cause },
    )
  }
  return parseBootLog(Buffer.concat(chunks))
}
