import { type AuditEvent } from '@sealwright/audit'
import { errorCodeOf } from '@sealwright/system-error'
import { type Caller, type SealOperations } from '../control/operations.ts'

/** The events of shares need a name of the attempt; where a share was refused before there was one. */
const NO_CEREMONY = 'none'

/**
 * The same operations, and what people do with shares is written down: who, which share, never its value. So is each reading of the
 * configuration.
 */
export function auditedOperations<O extends SealOperations>(operations: O, append: (event: AuditEvent) => void): O {
  return {
    ...operations,
    async reload(request) {
      try {
        const result = await operations.reload(request)
        const here = operations.seals().filter(({ configured }) => configured !== undefined)
        append({ kind: 'config-reloaded', seals: here.length })
        return result
      } catch (error) {
        append({ kind: 'config-refused', code: errorCodeOf(error) ?? 'unknown' })
        throw error
      }
    },
    async confirmShares(request, signal) {
      const member = await operations.confirmShares(request, signal)
      if (member.shares !== undefined) {
        append({
          ...{ kind: 'shares-created', seal: member.sealName, shareSet: member.memberId },
          ...{ shares: member.shares.count, threshold: member.shares.threshold, ...whoIs(request.caller) },
        })
      }
      return member
    },
    async enterShare(request, signal) {
      const { caller, sealName = '' } = request
      try {
        const state = await operations.enterShare(request, signal)
        const common = { seal: state.sealName, ceremony: state.nonce }
        append({
          ...{ kind: 'share-entered', ...common, shareSet: state.setLabel, index: state.entered.at(-1) ?? 0 },
          ...{ entered: state.entered.length, threshold: state.threshold, ...whoIs(caller) },
        })
        if (state.isComplete) append({ kind: 'ceremony-completed', ...common, purpose: 'unseal' })
        return state
      } catch (error) {
        const code = errorCodeOf(error) ?? 'unknown'
        append({ kind: 'share-refused', seal: sealName, ceremony: NO_CEREMONY, code, ...whoIs(caller) })
        throw error
      }
    },
    async resetShares(request) {
      const state = await operations.resetShares(request)
      append({
        ...{ kind: 'ceremony-reset', seal: state?.sealName ?? request.sealName ?? '', ceremony: NO_CEREMONY },
        ...{ reason: 'asked for', ...whoIs(request.caller) },
      })
      return state
    },
    async rehearse(request, signal) {
      const result = await operations.rehearse(request, signal)
      const entered = result.shares.filter(({ isRight }) => isRight).length
      append({
        ...{ kind: 'rehearsal-ended', seal: result.sealName, ceremony: NO_CEREMONY, shareSet: result.setLabel },
        ...{ entered, passed: result.isQuorum },
      })
      return result
    },
  }
}

/** The caller as the audit log has it. */
export function whoIs({ processId, userId }: Caller): { readonly pid?: number; readonly uid?: number } {
  return {
    ...(processId === undefined ? {} : { pid: processId }),
    ...(userId === undefined ? {} : { uid: userId }),
  }
}
