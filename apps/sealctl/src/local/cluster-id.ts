import { SealctlError } from '../errors.ts'

/**
 * The id of a cluster as it is typed: 32 hex digits; dashes and spaces do not count.
 *
 * @throws {@link SealctlError} `SEALCTL_USAGE`.
 */
export function clusterIdOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const digits = text.toLowerCase().replace(/[\s-]/g, '')
  if (/^[0-9a-f]{32}$/.test(digits)) return Buffer.from(digits, 'hex')
  throw new SealctlError(
    'SEALCTL_USAGE',
    '--cluster-id must be 32 hex digits, as bootstrap-init and share cards have it',
  )
}
