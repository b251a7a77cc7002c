import { PCR_COUNT, SHA256_BYTES, TPM_ALG_SHA256 } from '@sealwright/tpm-wire'
import { BootLogError } from './errors.ts'
import { EV_NO_ACTION } from './event-types.ts'
import { LogReader } from './log-reader.ts'

/** Longest log, in bytes. Those of real machines have 20,000 to 100,000; they carry certificates, seldom more. */
export const MAX_BOOT_LOG_BYTES = 16_777_216
/** Most events; real logs have some hundred. */
export const MAX_BOOT_EVENTS = 65_536

/** One measurement. Its views are into the log. */
export interface BootEvent {
  /** 0 to 23; anything else only where nothing is extended. */
  readonly pcr: number
  /** TCG PC Client Platform Firmware Profile, table "Events". */
  readonly eventType: number
  /** What was extended in the SHA-256 bank, 32 bytes; `undefined` for `EV_NO_ACTION`, which extends nothing. */
  readonly digest: Uint8Array | undefined
  /** What the firmware says it was. Nobody measures it: do not rely on it. */
  readonly data: Uint8Array
}

/** The event log of one boot. */
export interface BootLog {
  /** In the order in which they were measured, over all PCRs; the header is not among them. */
  readonly events: readonly BootEvent[]
  /** The locality from which TPM2_Startup came, if the log says: PCR 0 begins with it. 0, 3 or 4. */
  readonly startupLocality: number
}

const SHA1_BYTES = 20
const SPEC_ID_SIGNATURE = asciiBytes('Spec ID Event03\0')
const STARTUP_LOCALITY_SIGNATURE = asciiBytes('StartupLocality\0')
/** Most hash algorithms in one log; five are registered for TPMs. */
const MAX_ALGORITHMS = 16
/** Longest digest: SHA-512. */
const MAX_DIGEST_BYTES = 64

/**
 * Reads a crypto agile event log, such as the kernel gives at /sys/kernel/security/tpm0/binary_bios_measurements.
 *
 * @throws {@link BootLogError} `BOOT_LOG_MALFORMED`, `BOOT_LOG_TOO_LARGE`, `BOOT_LOG_NO_SHA256`.
 * @see TCG PC Client Platform Firmware Profile, clause "Event Logging": TCG_EfiSpecIdEvent, TCG_PCR_EVENT2
 */
export function parseBootLog(bytes: Uint8Array): BootLog {
  if (bytes.byteLength > MAX_BOOT_LOG_BYTES) {
    throw new BootLogError('BOOT_LOG_TOO_LARGE', `an event log of more than ${MAX_BOOT_LOG_BYTES} bytes is not read`)
  }
  const reader = new LogReader(bytes)
  const digestBytes = readHeader(reader)
  const events: BootEvent[] = []
  let startupLocality = 0
  while (!reader.isAtEnd) {
    if (events.length === MAX_BOOT_EVENTS) {
      throw new BootLogError('BOOT_LOG_TOO_LARGE', `the event log has more than ${MAX_BOOT_EVENTS} events`)
    }
    const event = readEvent(reader, digestBytes)
    startupLocality = localityOf(event, startupLocality)
    events.push(event)
  }
  return { events, startupLocality }
}

/** TCG_PCClientPCREvent with a TCG_EfiSpecIdEvent in it: always in the old form with SHA-1. Gives the digest sizes by algorithm. */
function readHeader(reader: LogReader): ReadonlyMap<number, number> {
  const pcr = reader.u32()
  const eventType = reader.u32()
  const digest = reader.bytes(SHA1_BYTES)
  if (pcr !== 0 || eventType !== EV_NO_ACTION || digest.some(byte => byte !== 0)) throw notCryptoAgile()
  const header = new LogReader(reader.bytes(reader.u32()))
  if (Buffer.compare(header.bytes(SPEC_ID_SIGNATURE.byteLength), SPEC_ID_SIGNATURE) !== 0) throw notCryptoAgile()
  header.u32() // platformClass
  header.bytes(4) // specVersionMinor, specVersionMajor, specErrata, uintnSize
  const digestBytes = readAlgorithms(header)
  header.bytes(header.u8()) // vendorInfo
  if (!header.isAtEnd) throw malformed('its header has bytes behind it')
  return digestBytes
}

function readAlgorithms(header: LogReader): ReadonlyMap<number, number> {
  const count = header.u32()
  if (count === 0 || count > MAX_ALGORITHMS) throw malformed(`its header names ${count} hash algorithms`)
  const digestBytes = new Map<number, number>()
  for (let index = 0; index < count; index += 1) {
    const algorithm = header.u16()
    const size = header.u16()
    if (digestBytes.has(algorithm) || size === 0 || size > MAX_DIGEST_BYTES) {
      throw malformed(`its header names the hash algorithm 0x${algorithm.toString(16)} twice, or with ${size} bytes`)
    }
    digestBytes.set(algorithm, size)
  }
  const sha256Bytes = digestBytes.get(TPM_ALG_SHA256)
  if (sha256Bytes === undefined) {
    throw new BootLogError(
      'BOOT_LOG_NO_SHA256',
      'this boot was not measured with SHA-256: switch that PCR bank on in the firmware set-up',
    )
  }
  if (sha256Bytes !== SHA256_BYTES) throw malformed(`its header says that SHA-256 has ${sha256Bytes} bytes`)
  return digestBytes
}

/** TCG_PCR_EVENT2. */
function readEvent(reader: LogReader, digestBytes: ReadonlyMap<number, number>): BootEvent {
  const start = reader.offset
  const pcr = reader.u32()
  const eventType = reader.u32()
  const digest = readDigests(reader, digestBytes, start)
  const data = reader.bytes(reader.u32())
  if (eventType === EV_NO_ACTION) return { pcr, eventType, digest: undefined, data }
  if (pcr >= PCR_COUNT) throw malformed(`at byte ${start} it extends PCR ${pcr}`)
  if (digest === undefined) throw malformed(`the event at byte ${start} has no SHA-256 digest`)
  return { pcr, eventType, digest, data }
}

/** TPML_DIGEST_VALUES, little-endian: gives the one of SHA-256. */
function readDigests(
  reader: LogReader,
  digestBytes: ReadonlyMap<number, number>,
  start: number,
): Uint8Array | undefined {
  const count = reader.u32()
  if (count > digestBytes.size) throw malformed(`the event at byte ${start} has ${count} digests`)
  let sha256: Uint8Array | undefined
  const seen = new Set<number>()
  for (let index = 0; index < count; index += 1) {
    const algorithm = reader.u16()
    const size = digestBytes.get(algorithm)
    if (size === undefined || seen.has(algorithm)) {
      throw malformed(`the event at byte ${start} has a digest of an algorithm that the header does not name, or two`)
    }
    seen.add(algorithm)
    const digest = reader.bytes(size)
    if (algorithm === TPM_ALG_SHA256) sha256 = digest
  }
  return sha256
}

/** TCG_EfiStartupLocalityEvent: an `EV_NO_ACTION` of PCR 0 that says with which value PCR 0 began. */
function localityOf({ pcr, eventType, data }: BootEvent, before: number): number {
  const length = STARTUP_LOCALITY_SIGNATURE.byteLength
  if (eventType !== EV_NO_ACTION || pcr !== 0 || data.byteLength !== length + 1) return before
  if (Buffer.compare(data.subarray(0, length), STARTUP_LOCALITY_SIGNATURE) !== 0) return before
  return data[length] ?? before
}

function asciiBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

function notCryptoAgile(): BootLogError {
  return malformed('it does not begin with the "Spec ID Event03" of a TPM 2.0 log')
}

function malformed(why: string): BootLogError {
  return new BootLogError('BOOT_LOG_MALFORMED', `the event log cannot be used: ${why}`)
}
