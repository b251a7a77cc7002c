import { type Keyring, type Member } from '@sealwright/keyring'
import { OperationError } from './errors.ts'
import { sealOf } from './facts.ts'

/**
 * Every server of the cluster is known here, by the label of a TPM, which is what raft calls the server that the TPM is in. The keyring of a
 * node that nobody here has heard of may know only an older generation: nothing would lead it to a newer one.
 *
 * @param input.everyTpm - {@link tpmMembers} of the keyring as it was. None: no seal ever was of one node alone, each node opens by what all
 *   share, and nothing is asked. A removed one may be all that its node has.
 * @param input.opens - those that open what is current, or will.
 * @param input.nodes - servers, as raft knows them. @param input.lost - those that need no TPM member.
 * @param input.nothingDone - how the message begins.
 * @throws {@link OperationError} `OPERATION_NODES_UNKNOWN`.
 */
export function assertNodesKnown({
  everyTpm,
  opens,
  nodes,
  lost,
  nothingDone,
}: {
  readonly everyTpm: readonly Member[]
  readonly opens: readonly Member[]
  readonly nodes: readonly string[]
  readonly lost: readonly string[]
  readonly nothingDone: string
}): void {
  if (everyTpm.length === 0) return
  const known = new Set([...opens.map(({ label }) => label), ...lost])
  const unknown = nodes.filter(node => !known.has(node))
  if (unknown.length === 0) return
  throw new OperationError(
    'OPERATION_NODES_UNKNOWN',
    `${nothingDone}: the keyring here has no TPM member that is called as the server ${unknown.join(', ')}, which may know only the old key. ` +
      'Import its keyring (sealctl keyring export there, sealctl keyring import here); or call its TPM as raft calls the server ' +
      '(sealctl init --seal SEAL --label NODE there), then import; or name it with --lost NODE if it is no more, or opens by a seal that it ' +
      'shares',
  )
}

/** The TPMs among members, in whatever state. */
export function tpmMembers(keyring: Keyring, members: readonly Member[] = keyring.members): readonly Member[] {
  return members.filter(member => sealOf(keyring, member)?.sealType === 'tpm')
}
