import { type AuditEvent, type AuditEventKind } from '../events.ts'

const caller = { uid: 0, gid: 0, pid: 4711 }
const seal = { seal: 'tpm', sealType: 'tpm' }
const generation = { generation: 2, generationId: '00112233445566778899aabbccddeeff', keyId: 'sw-0011223344556677' }
const member = { seal: 'tpm', memberId: 'ffeeddccbbaa99887766554433221100' }
const record = { ...member, generation: 2, method: 'tpm-sealed' }
const sealId = '0123456789abcdef0123456789abcdef'
const ceremony = { seal: 'people', ceremony: 'a1b2c3d4' }

/** One event of each kind, all of its fields given. */
export const SAMPLE_EVENTS: { readonly [Kind in AuditEventKind]: AuditEvent & { readonly kind: Kind } } = {
  'agent-started': { kind: 'agent-started', version: '0.1.0', pid: 4711 },
  'agent-stopped': { kind: 'agent-stopped', reason: 'SIGTERM' },
  'config-reloaded': { kind: 'config-reloaded', seals: 3 },
  'config-refused': { kind: 'config-refused', code: 'CONFIG_INVALID' },
  'control-called': { kind: 'control-called', method: 'POST', path: '/v1/sys/unseal', status: 200, ...caller },
  'seal-opened': { kind: 'seal-opened', ...seal, generation: 2, tookMs: 121 },
  'seal-failed': { kind: 'seal-failed', ...seal, code: 'TPM_CLEARED', tookMs: 8 },
  'seal-added': { kind: 'seal-added', ...seal, sealId, ...caller },
  'seal-renamed': { kind: 'seal-renamed', seal: 'tpm2', formerName: 'tpm', sealId, ...caller },
  'seal-removed': { kind: 'seal-removed', ...seal, sealId, ...caller },
  'keyring-stored': { kind: 'keyring-stored', revision: 7 },
  'generation-added': { kind: 'generation-added', ...generation, step: 'chained' },
  'generation-activated': { kind: 'generation-activated', ...generation },
  'generation-retired': { kind: 'generation-retired', ...generation },
  'record-added': { kind: 'record-added', ...record },
  'record-removed': { kind: 'record-removed', ...record },
  'member-enrolled': { kind: 'member-enrolled', ...member, label: 'node-4', ...caller },
  'member-revoked': { kind: 'member-revoked', ...member, label: 'node-4', ...caller },
  'member-relabelled': { kind: 'member-relabelled', ...member, label: 'node-d', formerLabel: 'node-4', ...caller },
  'shares-created': { kind: 'shares-created', seal: 'people', shareSet: 'red', shares: 5, threshold: 3, ...caller },
  'share-entered': {
    kind: 'share-entered',
    ...ceremony,
    ...{ shareSet: 'red', index: 4, entered: 1, threshold: 3 },
    ...caller,
  },
  'share-refused': {
    kind: 'share-refused',
    ...ceremony,
    ...{ shareSet: 'red', index: 2, code: 'SHARE_WRONG' },
    ...caller,
  },
  'ceremony-reset': { kind: 'ceremony-reset', ...ceremony, reason: 'operator', ...caller },
  'ceremony-completed': { kind: 'ceremony-completed', ...ceremony, purpose: 'unseal' },
  'rehearsal-ended': {
    kind: 'rehearsal-ended',
    ...ceremony,
    ...{ shareSet: 'red', entered: 3, passed: false, code: 'SHARE_WRONG' },
  },
  'key-delivered': { kind: 'key-delivered', file: 'current.fifo', keyId: 'k2' },
  'key-delivery-failed': { kind: 'key-delivery-failed', file: 'current.fifo', keyId: 'k2', code: 'SEAL_NOT_OPEN' },
  'key-file-written': { kind: 'key-file-written', file: 'openbao.env', keyId: 'k2' },
  'key-file-removed': { kind: 'key-file-removed', file: 'openbao.env' },
}
