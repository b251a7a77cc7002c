import { format, inspect } from 'node:util'

/** Every way in which bytes could show up in printed text: as hex, base64, one character each, and as numbers in a list or an object. */
export function spellingsOf(bytes: Uint8Array): readonly string[] {
  const buffer = Buffer.from(bytes)
  return [
    buffer.toString('hex'),
    buffer.toString('base64'),
    buffer.toString('base64url'),
    buffer.toString('latin1'),
    Array.from(bytes).join(','),
    Array.from(bytes).join(', '),
    Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' '),
    JSON.stringify(bytes).slice(1, -1),
  ]
}

/**
 * What the ways to print a value make of it, those too that show more than anybody should ask for. Each on one line: `inspect` puts
 * the numbers of an array below each other.
 */
export function printsOf(value: unknown): readonly string[] {
  return [
    inspect(value, { showHidden: true, depth: null, maxArrayLength: null, customInspect: false }),
    inspect(value, { showHidden: true, depth: null, maxArrayLength: null, getters: true }),
    format('%s %o %O %j', value, value, value, value),
    JSON.stringify(value),
  ].map(text => text.replace(/\s+/g, ' '))
}
