import * as v from 'valibot'
import { isoTime, placeView } from './places.ts'

const recordView = v.object({
  generation: v.number(),
  keyId: v.pipe(v.string(), v.description('what OpenBao calls the generation')),
  method: v.pipe(v.string(), v.description('how it was made, as docs/formats/keyring.md §4.2 names it')),
  quantumExposed: v.pipe(
    v.boolean(),
    v.description('made with RSA or elliptic curves alone: whoever keeps a copy may open it with a quantum computer'),
  ),
  createdAt: isoTime,
})

export const memberView = v.object({
  ...placeView.entries,
  sealType: v.string(),
  fingerprint: v.pipe(v.string(), v.description('of all that decides who it is: docs/formats/keyring.md §7.8')),
  state: v.picklist(['active', 'removed']),
  reachableByPublicKey: v.pipe(v.boolean(), v.description('others can wrap for it while it is away')),
  records: v.array(recordView),
  shares: v.optional(
    v.pipe(v.object({ threshold: v.number(), count: v.number() }), v.description('of a Shamir seal only')),
  ),
})

export const listedSealView = v.object({
  name: v.string(),
  type: v.string(),
  configured: v.optional(
    v.pipe(
      v.object({ priority: v.number(), disabled: v.boolean() }),
      v.description('absent if the configuration of this node does not have the seal'),
    ),
  ),
  opened: v.pipe(v.boolean(), v.description('it opened the keyring that this node holds')),
  members: v.optional(
    v.pipe(
      v.array(memberView),
      v.description(
        'the active ones; none: it has no record yet. Absent while this node is sealed: its keyring is not open, and they are unknown',
      ),
    ),
  ),
})

export const listedSealsView = v.object({ seals: v.array(listedSealView) })
export const membersView = v.object({
  members: v.array(memberView),
  membersFingerprint: v.pipe(v.string(), v.description('of the active ones: `members` of a break that removes nobody')),
})

const sealNames = v.array(v.string())

export const reloadView = v.object({
  added: sealNames,
  changed: v.pipe(sealNames, v.description('configured otherwise than before')),
  removed: sealNames,
  enabled: v.pipe(sealNames, v.description('all that are configured now and not disabled')),
})

/** A record: one generation of the seal key, wrapped for one member. */
export type RecordView = v.InferOutput<typeof recordView>
/** A member with its records. Answer of `GET /v1/sys/members` has many. */
export type MemberView = v.InferOutput<typeof memberView>
/** A seal of the keyring or of this node's configuration. Answer of `GET /v1/sys/seals/:name`. */
export type ListedSealView = v.InferOutput<typeof listedSealView>
/** Answer of `GET /v1/sys/seals`. */
export type ListedSealsView = v.InferOutput<typeof listedSealsView>
/** What a new configuration did to the seals of this node, by name. Answer of `POST /v1/sys/reload`. */
export type ReloadView = v.InferOutput<typeof reloadView>
/** Answer of `GET /v1/sys/members`. */
export type MembersView = v.InferOutput<typeof membersView>
