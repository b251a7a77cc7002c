import { sameBytes } from '@sealwright/bytes'
import { type Keyring } from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { type SealReport } from './try-seals.ts'

/** A device that a seal has records for. */
export interface KnownDevice {
  /** For the configuration. */
  readonly storageKeyName: string
  /** Whether it is the one that opened the seal in this very run: the one of this machine, beyond doubt. */
  readonly isPresent: boolean
}

/** The devices of each seal by the seal's name, newest record first. The keyring must be authentic. */
export function markPresent(
  seals: readonly ConfiguredSeal[],
  keyring: Keyring,
  reports: readonly SealReport[],
): ReadonlyMap<string, readonly KnownDevice[]> {
  return new Map(
    seals.map(seal => {
      const report = reports.find(({ name }) => name === seal.name)
      const present = report?.state === 'opens' ? report.memberId : undefined
      const devices = seal.enrolledDevices(keyring).map(({ storageKeyName, memberId }) => ({
        storageKeyName,
        isPresent: present !== undefined && sameBytes(memberId, present),
      }))
      return [seal.name, devices]
    }),
  )
}
