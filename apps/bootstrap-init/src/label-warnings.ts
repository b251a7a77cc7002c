import { findSeal } from '@sealwright/keyring'
import { type BootstrapReport } from './bootstrap.ts'

/**
 * Says where a label that was asked for is not the one that the TPM of this node has: bootstrap-init gives one only to a new member.
 *
 * @param label - as it was asked for, if it was.
 */
export function labelWarnings(
  { keyring, seals }: Pick<BootstrapReport, 'keyring' | 'seals'>,
  label: string | undefined,
): readonly string[] {
  return seals.flatMap(report => {
    // Only what has opened is known to be this machine's, and the keyring to be genuine.
    if (report.state !== 'opens' || label === undefined) return []
    const seal = findSeal(keyring, report.name)
    const member = keyring.members.find(
      ({ sealId, memberId }) =>
        seal?.sealType === 'tpm' && isSame(sealId, seal.sealId) && isSame(memberId, report.memberId),
    )
    if (member === undefined || member.label === label) return []
    return [
      `--label ${label} was ignored: the TPM of this node is a member of the seal ${report.name} already, and is called ${member.label}. To call ` +
        `it ${label}, with the agent running: sealctl init --seal ${report.name} --label ${label}`,
    ]
  })
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}
