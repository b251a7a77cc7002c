/** A piece of a secret in one of the forms it could be written down in. */
export interface Needle {
  /** Such as `hex, bytes 8 to 15`. Tells nothing of the secret. */
  readonly form: string
  readonly bytes: Buffer
}

/**
 * Pieces, not the whole secret: `free` overwrites the beginning of a block, and a half-overwritten key is still half a key.
 * Eight bytes do not appear by chance: in 1 GiB of random bytes once in ten thousand million searches.
 */
const PIECE_BYTES = 8
const BASE64_PIECE_CHARACTERS = 14

/**
 * Everything to look for: raw, hex in both cases, base64 and base64url at all three alignments inside a longer text, texts both
 * as bytes and as the engine's two-byte strings, and decimal lists as `inspect`, JSON and Go print bytes.
 */
export function needlesOf(secret: Uint8Array): readonly Needle[] {
  const pieces = cut(secret, PIECE_BYTES)
  const texts = [
    ...pieces.flatMap(({ from, bytes }) => {
      const hex = Buffer.from(bytes).toString('hex')
      const place = `bytes ${from} to ${from + bytes.length - 1}`
      return [
        { form: `hex, ${place}`, text: hex },
        { form: `upper-case hex, ${place}`, text: hex.toUpperCase() },
        { form: `a JSON array, ${place}`, text: bytes.join(',') },
        { form: `a printed array, ${place}`, text: bytes.join(', ') },
        { form: `a Go slice, ${place}`, text: bytes.join(' ') },
      ]
    }),
    ...[0, 1, 2].flatMap(alignment => base64Texts(secret, alignment)),
  ]
  return withoutRepeats([
    ...pieces.map(({ from, bytes }) => ({ form: `raw, bytes ${from} to ${from + 7}`, bytes: Buffer.from(bytes) })),
    ...texts.flatMap(({ form, text }) => [
      { form, bytes: Buffer.from(text, 'latin1') },
      { form: `two-byte ${form}`, bytes: Buffer.from(text, 'utf16le') },
    ]),
  ])
}

/** The characters that depend on the secret alone, whatever `alignment` bytes before it and any bytes after it are. */
function base64Texts(secret: Uint8Array, alignment: number): readonly { form: string; text: string }[] {
  const padded = Buffer.concat([Buffer.alloc(alignment), secret])
  const first = Math.ceil((alignment * 8) / 6)
  const end = Math.floor((padded.length * 8) / 6)
  return (['base64', 'base64url'] as const).flatMap(encoding => {
    const text = padded.toString(encoding).slice(first, end)
    const pieces = [0, BASE64_PIECE_CHARACTERS, text.length - BASE64_PIECE_CHARACTERS]
    return pieces.map(from => ({
      form: `${encoding} at alignment ${alignment}, from character ${from}`,
      text: text.slice(from, from + BASE64_PIECE_CHARACTERS),
    }))
  })
}

function cut(secret: Uint8Array, pieceBytes: number): readonly { from: number; bytes: Uint8Array }[] {
  return Array.from({ length: Math.floor(secret.length / pieceBytes) }, (_, index) => {
    const from = index * pieceBytes
    return { from, bytes: secret.subarray(from, from + pieceBytes) }
  })
}

function withoutRepeats(needles: readonly Needle[]): readonly Needle[] {
  return [...new Map(needles.toReversed().map(needle => [needle.bytes.toString('hex'), needle])).values()].toReversed()
}
