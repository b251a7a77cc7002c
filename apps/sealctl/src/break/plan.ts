import { membersNamed, memberSetFingerprint, type MemberView } from '@sealwright/control-api'
import { readRaftSnapshot } from '@sealwright/raft-snapshot'
import { type CommandContext } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { readPieces } from '../files.ts'
import { plain } from '../render/plain.ts'
import { reportProgress } from '../terminal/progress.ts'
import { type BreakOptions } from './options.ts'

/** What a break of the chain would do, before anybody has agreed to it. */
export interface BreakPlan {
  /** They get the next key, and nobody else. */
  readonly staying: readonly MemberView[]
  readonly leaving: readonly MemberView[]
  /** Of those that stay. */
  readonly fingerprint: string
  /** Every server of the cluster, as raft knows it. */
  readonly nodes: readonly string[]
  /** Those of them that are not missed. */
  readonly lost: readonly string[]
}

/** What the agent is told of a plan that an operator has agreed to. */
export interface BreakBody {
  readonly drop: string[]
  readonly nodes: string[]
  readonly lost: string[]
  readonly members: string
}

/**
 * Says what a break would do to these members.
 *
 * @param input.members - all that the keyring lists. @param input.revoked - the one that the break is for, if any. The server that
 *   its TPM is in is missed like any other, unless another TPM is there: an operator says that it is gone.
 * @throws {@link SealctlError} `SEALCTL_MEMBER_UNKNOWN`; `SEALCTL_USAGE` if servers are to be named and none is;
 *   `SEALCTL_INPUT_UNREADABLE`; {RaftSnapshotError}.
 */
export async function planBreak(
  context: CommandContext,
  {
    members,
    revoked,
    options,
  }: {
    readonly members: readonly MemberView[]
    readonly revoked?: MemberView | undefined
    readonly options: BreakOptions
  },
): Promise<BreakPlan> {
  const { drop = [], lost = [] } = options
  const active = members.filter(({ state }) => state === 'active')
  const { named, unknown } = membersNamed(active, drop)
  if (unknown !== undefined) {
    throw new SealctlError(
      'SEALCTL_MEMBER_UNKNOWN',
      `${plain(unknown)} is the id or fingerprint of no active member, or of two that are not the same: see sealctl members list`,
    )
  }
  const leaves = (member: MemberView): boolean => member === revoked || named.has(member)
  const staying = active.filter(member => !leaves(member))
  const nodes = await readServers(context, options)
  if (nodes.length === 0 && members.some(({ sealType }) => sealType === 'tpm')) {
    throw new SealctlError(
      'SEALCTL_USAGE',
      'name every server of the cluster, with --snapshot FILE or --nodes NAME,NAME: who is not known here would be shut out for good',
    )
  }
  return {
    ...{ staying, leaving: active.filter(leaves), nodes },
    fingerprint: memberSetFingerprint(staying.map(({ fingerprint }) => fingerprint)),
    lost,
  }
}

/** The plan in the words of the control API. */
export function bodyOf({ nodes, lost, fingerprint }: BreakPlan, { drop = [], members }: BreakOptions): BreakBody {
  return { drop: [...drop], nodes: [...nodes], lost: [...lost], members: members ?? fingerprint }
}

async function readServers(
  context: CommandContext,
  { snapshot, nodes = [] }: Pick<BreakOptions, 'snapshot' | 'nodes'>,
): Promise<readonly string[]> {
  if (snapshot === undefined) return nodes
  const pieces = reportProgress(context, readPieces(context, snapshot))
  const { metadata } = await readRaftSnapshot(pieces, { signal: context.signal })
  return metadata.servers.map(({ id }) => id)
}
