import { type Secret } from '@sealwright/secret'

/** Who asks, by the credentials of the Unix socket, where the kernel tells: for the audit log. */
export interface Caller {
  readonly processId: number | undefined
  readonly userId: number | undefined
}

/** One way in, as people need to know it. */
export interface RecordFacts {
  /** Number of its generation, and what OpenBao calls that. */
  readonly generation: number
  readonly keyId: string
  /** As docs/formats/keyring.md §4.2 names it. */
  readonly method: string
  /** Whether what leaves the house with it is safe from a quantum computer: not if RSA or ECC alone made it. */
  readonly isQuantumExposed: boolean
  readonly createdAtMs: number
}

/** One holder within a seal. */
export interface MemberFacts {
  readonly sealName: string
  readonly sealType: string
  /** 16 bytes in hex. */
  readonly memberId: string
  readonly label: string
  /** Of all that decides who it is: 16 bytes in hex. */
  readonly fingerprint: string
  readonly state: 'active' | 'removed'
  /** Whether others can wrap for it while it is away. */
  readonly isReachableByPublicKey: boolean
  readonly records: readonly RecordFacts[]
  /** For a set of shares: how many there are, and how many are needed. */
  readonly shares?: { readonly threshold: number; readonly count: number }
}

/** One named seal, of the keyring, of this node's configuration, or of both. */
export interface SealFacts {
  readonly name: string
  readonly type: string
  /** `undefined` where this node's configuration does not have it. */
  readonly configured: { readonly priority: number; readonly disabled: boolean } | undefined
  /** Active members; none if the keyring has no such seal, `undefined` while no keyring is held: what a store has is proven by nobody. */
  readonly members: readonly MemberFacts[] | undefined
  /** Whether the keyring that is held was opened by it. */
  readonly hasOpened: boolean
}

/** The generations of the seal key. */
export interface GenerationFacts {
  readonly number: number
  readonly keyId: string
  readonly state: 'pending' | 'active' | 'retired'
  readonly step: 'chained' | 'broken'
  readonly isCurrent: boolean
}

/** What a rotation did. */
export interface RotationResult {
  readonly generation: number
  readonly keyId: string
  /** Members that have a record of the new generation already; the others reach it by its link. */
  readonly wrapped: readonly Pick<MemberFacts, 'sealName' | 'memberId' | 'label'>[]
  /** Members that were removed, as was asked. */
  readonly dropped: readonly Pick<MemberFacts, 'sealName' | 'memberId' | 'label'>[]
}

/** What a break of the chain needs to know, beside what it is for. */
export interface BreakRequest {
  /** Members that are removed, by id in hex, whether they can be reached or not. */
  readonly drop: readonly string[]
  /** Every raft server of the cluster. */
  readonly nodes: readonly string[]
  /** Raft servers that need no record: lost for good, or opened by a seal that they share. */
  readonly lost: readonly string[]
  /** Fingerprint of the members that stay, as an operator has confirmed them. */
  readonly members: string | undefined
}

/** How far a set of shares is: in the words of OpenBao's own unseal. */
export interface CeremonyState {
  readonly sealName: string
  readonly setLabel: string
  readonly threshold: number
  readonly count: number
  /** Numbers of the shares that came in and are right. */
  readonly entered: readonly number[]
  /** 32 hex digits; changes with each reset. Empty before the first share. */
  readonly nonce: string
  readonly isComplete: boolean
}

/** What a rehearsal found; nothing was opened by it. */
export interface RehearsalResult {
  readonly sealName: string
  readonly setLabel: string
  readonly threshold: number
  readonly shares: readonly {
    readonly index: number
    readonly isRight: boolean
    /** Why it does not count. */
    readonly fault?: { readonly code: string; readonly message: string }
  }[]
  /** Whether these shares would open the seal. */
  readonly isQuorum: boolean
}

/** What a new configuration did to the seals of this node, by name. */
export interface ReloadResult {
  readonly added: readonly string[]
  /** Configured otherwise than before. */
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  /** All that are configured now and not disabled, those of people with shares too. */
  readonly enabled: readonly string[]
}

/**
 * What operators can do to the seals of a cluster, behind the control API. Each throws errors with a stable `code`; the control API
 * turns codes into statuses. Everything that changes the keyring is stored and proven before it returns.
 */
export interface SealOperations {
  seals(): readonly SealFacts[]
  members(): readonly MemberFacts[]
  generations(): readonly GenerationFacts[]
  /**
   * Reads the configuration anew. One that is refused changes nothing: the seals from before go on. Either way seals that waited for an
   * operator are tried again.
   */
  reload(request: {
    /** Whether seals that lack records are given them at once, not with the next probe. */
    readonly tend: boolean
    readonly caller: Caller
  }): Promise<ReloadResult>
  /**
   * Gives a seal of this node's configuration its first record, or the device that it has now one more. For a Shamir seal it makes a
   * new set of shares, which opens nothing before {@link confirmShares}: until then its member has no records.
   *
   * @returns the share texts, one `Secret` each, for a Shamir seal; owned by the caller, who wipes them.
   */
  initialise(
    request: {
      readonly sealName: string
      readonly label: string | undefined
      readonly shares: { readonly threshold: number; readonly count: number } | undefined
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<{ readonly member: MemberFacts; readonly clusterId: string; readonly shares: readonly Secret[] }>
  /** Has a new set of shares open the keyring: somebody has them all. Once it does, to say so again changes nothing. */
  confirmShares(
    request: {
      readonly sealName: string
      /** In hex, as {@link initialise} has said it. */
      readonly memberId: string
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<MemberFacts>
  /** `confirm` must be the name again. Refuses the last way in of any node that is known, and a seal that this node's configuration has. */
  deleteSeal(
    request: {
      readonly sealName: string
      readonly confirm: string
      /** Raft servers of which an operator has seen that another seal opens them. */
      readonly checkedNodes: readonly string[]
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<void>
  rotate(
    /** What is of a break only with `breakChain`. */
    request: BreakRequest & { readonly breakChain: boolean; readonly caller: Caller },
    signal: AbortSignal,
  ): Promise<RotationResult>
  /** Takes a member's records away and breaks the chain, so that no copy of an old keyring helps it. */
  revokeMember(
    request: BreakRequest & {
      readonly sealName: string
      readonly memberId: string
      readonly confirm: string
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<RotationResult>
  /** Retires generations that a snapshot of OpenBao does not name any more. `snapshot` is read to its end. */
  retire(
    request: {
      readonly snapshot: AsyncIterable<Uint8Array>
      /** Raft servers that are lost for good, and need no record. */
      readonly lostNodes: readonly string[]
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<{ readonly retired: readonly GenerationFacts[]; readonly kept: readonly GenerationFacts[] }>
  /** The keyring as it is held: it holds no plain key. */
  exportKeyring(): Uint8Array
  /** Unites a keyring of another node with what is held. */
  importKeyring(
    request: { readonly bytes: Uint8Array; readonly caller: Caller },
    signal: AbortSignal,
  ): Promise<{ readonly revision: number; readonly hasChanged: boolean }>
  /** Approves a new node: returns the keyring with a record for it. */
  approveEnrolment(
    request: {
      readonly bytes: Uint8Array
      readonly fingerprint: string
      readonly label: string
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<{ readonly member: MemberFacts; readonly keyring: Uint8Array }>
  /** Enters one share. With the last one that is needed the keyring is opened. */
  enterShare(
    request: {
      /** Absent: the seal called `default`, else the best priority. */
      readonly sealName: string | undefined
      readonly nonce: string | undefined
      /** As the card has it; stays the caller's. */
      readonly share: Secret
      readonly caller: Caller
    },
    signal: AbortSignal,
  ): Promise<CeremonyState>
  resetShares(request: {
    readonly sealName: string | undefined
    readonly caller: Caller
  }): Promise<CeremonyState | undefined>
  ceremonies(): readonly CeremonyState[]
  /** The sets of shares that open a Shamir seal, by its name, and how far the collecting of each is; of the store while nothing is held. */
  shareSets(sealName: string): Promise<readonly CeremonyState[]>
  /** Checks that shares are right and enough, and opens nothing. They stay the caller's. */
  rehearse(
    request: { readonly sealName: string | undefined; readonly shares: readonly Secret[]; readonly caller: Caller },
    signal: AbortSignal,
  ): Promise<RehearsalResult>
}
