import { findMember, findSeal } from '@sealwright/keyring'
import { labelIgnored } from '@sealwright/node-seals'
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
    if (findSeal(keyring, report.name)?.sealType !== 'tpm') return []
    const member = findMember(keyring, report.name, report.memberId)
    if (member === undefined || member.label === label) return []
    return [labelIgnored({ sealName: report.name, wanted: label, called: member.label })]
  })
}
