import { type AuditLog } from '@sealwright/audit-log'
import { type OpenKeyring } from '@sealwright/keyring'

/**
 * Has the audit log vouched for by the current generation of what is held: from then on nobody who lacks its key can rewrite what was written,
 * also not the whole log.
 */
export function auditVouching(
  audit: Pick<AuditLog, 'setCheckpointKey'>,
): (held: Pick<OpenKeyring, 'keyId' | 'auditKey'> | undefined) => void {
  let current: string | undefined
  return held => {
    const key = held?.auditKey()
    if (held === undefined || key === undefined || held.keyId === current) return
    current = held.keyId
    audit.setCheckpointKey({ keyId: held.keyId, key })
  }
}
