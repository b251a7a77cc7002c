import * as v from 'valibot'

// Requests are read with `v.strictObject`: a field that we do not know is refused, since it was meant to do something.

/** No control character: they would do something to a terminal. Without the flag `u`, which JSON Schema does not know. */
const PRINTABLE = /^[ -~\u00a0-\uffff]{1,64}$/

/** Longer than any configuration allows: a keyring of another version must stay in reach. */
export const sealName = v.pipe(
  v.string(),
  v.regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be 1 to 64 of a-z, 0-9 and "-", beginning with a letter'),
)

export const memberId = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'must be 32 of 0-9 and a-f'))

/** What a member is called; the keyring allows 64 bytes. */
export const label = v.pipe(v.string(), v.regex(PRINTABLE, 'must be 1 to 64 characters that can be printed'))

export const nonce = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{32}$/, 'must be 32 of 0-9 and a-f, as the first answer has it'),
)

export const fingerprint = v.pipe(
  v.string(),
  v.regex(/^[0-9A-Za-z]([0-9A-Za-z: -]{0,126}[0-9A-Za-z])?$/, 'must be as the new node shows it'),
)

export const confirm = v.pipe(
  v.string(),
  v.regex(PRINTABLE, 'must be 1 to 64 characters that can be printed'),
  v.description('the name of what is lost by this, once more: of the seal, or the label of the member'),
)

export const raftNodeId = v.pipe(
  v.string(),
  v.regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters, as raft knows the server'),
)

/** 2 to 255: one share alone opens nothing. */
export const shareCount = v.pipe(
  v.number(),
  v.integer('must be a whole number'),
  v.minValue(2, 'must be at least 2'),
  v.maxValue(255, 'must be at most 255'),
)

const raftNodeIds = v.pipe(v.array(raftNodeId), v.maxLength(255, 'must be at most 255 servers'))

/** What a break of the chain needs to know, beside what it is for. */
export const breakFields = {
  drop: v.optional(
    v.pipe(
      v.array(memberId),
      v.maxLength(1_024, 'must be at most 1024 members'),
      v.description('members that are removed, whether they can be reached or not'),
    ),
  ),
  nodes: v.optional(
    v.pipe(
      raftNodeIds,
      v.description(
        'every server of the cluster, as raft knows it: each must be the label of a TPM that stays, or be lost',
      ),
    ),
  ),
  lost: v.optional(
    v.pipe(raftNodeIds, v.description('servers that are gone for good, or open by a seal that they share')),
  ),
  members: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[0-9a-f]{32}$/, 'must be 32 of 0-9 and a-f'),
      v.description(
        'the fingerprint of the members that stay, docs/formats/keyring.md §7.8: of all that are active but those that this removes. ' +
          'If others are there by then, nothing is changed',
      ),
    ),
  ),
} as const

export const nothing = v.strictObject({})
export const namedSeal = v.strictObject({ name: sealName })
