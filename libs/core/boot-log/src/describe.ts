import { BootLogError } from './errors.ts'
import { eventTypeName, TEXT_TYPES, VARIABLE_TYPES } from './event-types.ts'
import { LogReader } from './log-reader.ts'
import { type BootEvent } from './parse.ts'

const GUID_BYTES = 16
/** Longest description, in characters. */
const MAX_TEXT = 80

/**
 * An event in a few words: its type, and the EFI variable or the text that it says it measured. Printable ASCII only: firmware and boot
 * loaders write what they like, and a terminal obeys it.
 */
export function describeEvent({ eventType, data }: Pick<BootEvent, 'eventType' | 'data'>): string {
  const name = eventTypeName(eventType)
  const detail = VARIABLE_TYPES.has(eventType) ? variableName(data) : TEXT_TYPES.has(eventType) ? textOf(data) : ''
  return detail === '' ? name : `${name} ${detail}`
}

/** UEFI_VARIABLE_DATA: GUID ‖ UnicodeNameLength (8) ‖ VariableDataLength (8) ‖ name in UTF-16. */
function variableName(data: Uint8Array): string {
  try {
    const reader = new LogReader(data)
    reader.bytes(GUID_BYTES)
    const nameCharacters = reader.u64()
    reader.u64()
    return printable(new TextDecoder('utf-16le').decode(reader.bytes(Number(nameCharacters) * 2)))
  } catch (error) {
    // The description is for people. Whether the log is whole was decided before.
    if (error instanceof BootLogError) return ''
    throw error
  }
}

function textOf(data: Uint8Array): string {
  const isUtf16 = data.byteLength >= 2 && data[1] === 0
  // Boot loaders are found that measure half a character at the end.
  const whole = isUtf16 ? data.subarray(0, data.byteLength - (data.byteLength % 2)) : data
  return printable(new TextDecoder(isUtf16 ? 'utf-16le' : 'utf-8').decode(whole))
}

function printable(text: string): string {
  return text
    .replace(/\0+$/u, '')
    .replace(/[^ -~]/gu, '.')
    .slice(0, MAX_TEXT)
}
