import { InvalidArgumentError } from 'commander'
import { type EventReplacement } from '@sealwright/boot-log'
import { isReference } from '@sealwright/pcr-policies'
import { PCR_COUNT, type PcrValue } from '@sealwright/tpm-wire'

const DIGEST = '([0-9a-fA-F]{64})'
/** `7=HEX`; also `7:sha256=HEX`, as systemd-measure prints values and tpm2-tools take them. */
const PCR_VALUE = new RegExp(`^(\\d{1,2})(?::sha256)?=(?:0x)?${DIGEST}$`)
const EVENT_REPLACEMENT = new RegExp(`^(\\d{1,2}):(\\d{1,5})=(?:0x)?${DIGEST}$`)

/** `7,11`: PCR numbers in any order, given back ascending. */
export function parsePcrs(text: string): readonly number[] {
  const pcrs = text.split(',').map(parsePcr)
  if (new Set(pcrs).size < pcrs.length) throw new InvalidArgumentError('It names a PCR twice.')
  return pcrs.sort((one, other) => one - other)
}

export function parsePcr(text: string): number {
  const pcr = /^\d{1,2}$/.test(text.trim()) ? Number(text) : PCR_COUNT
  if (pcr < PCR_COUNT) return pcr
  throw new InvalidArgumentError(`PCR numbers go from 0 to ${PCR_COUNT - 1}.`)
}

/** One more `PCR=HEX`, for an option that may come several times. */
export function collectPcrValue(text: string, before: readonly PcrValue[] = []): readonly PcrValue[] {
  const [, pcr, digest] = PCR_VALUE.exec(text) ?? []
  if (pcr === undefined || digest === undefined) {
    throw new InvalidArgumentError('It must be PCR=HEX with 64 hexadecimal digits of SHA-256, such as 7=0a…')
  }
  return [...before, { index: parsePcr(pcr), value: bytesOf(digest) }]
}

/** One more `PCR:INDEX=HEX`, for an option that may come several times. */
export function collectReplacement(
  text: string,
  before: readonly EventReplacement[] = [],
): readonly EventReplacement[] {
  const [, pcr, index, digest] = EVENT_REPLACEMENT.exec(text) ?? []
  if (pcr === undefined || index === undefined || digest === undefined) {
    throw new InvalidArgumentError('It must be PCR:INDEX=HEX with 64 hexadecimal digits, such as 7:3=0a…')
  }
  return [...before, { pcr: parsePcr(pcr), index: Number(index), digest: bytesOf(digest) }]
}

export function parseReference(text: string): string {
  if (isReference(text)) return text
  throw new InvalidArgumentError('A reference has 1 to 32 of A-Z, a-z, 0-9, ".", "_" and "-".')
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}
