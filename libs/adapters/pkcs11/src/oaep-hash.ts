import { FieldError } from './fields.ts'

/** Hashes that RSA-OAEP may use. The mask generation function uses the same one. */
export type OaepHash = 'sha1' | 'sha256' | 'sha384' | 'sha512'

/** Their numbers, in containers and on the channel: those in containers are on disks, and never change. */
export const OAEP_HASHES: ReadonlyMap<number, OaepHash> = new Map([
  [1, 'sha1'],
  [2, 'sha256'],
  [3, 'sha384'],
  [4, 'sha512'],
])

/** 1 to 4, as {@link OAEP_HASHES} lists them. */
export function oaepHashNumber(hash: OaepHash): number {
  for (const [number, name] of OAEP_HASHES) if (name === hash) return number
  throw new FieldError('the hash is not known')
}
