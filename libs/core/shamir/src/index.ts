export {
  beginCeremony,
  type Ceremony,
  type CeremonyEvent,
  ceremonyStatus,
  type CeremonyStatus,
  next,
} from './ceremony.ts'
export { type CreatedShareSet, createShareSet } from './create-share-set.ts'
export { type Rehearsal, rehearse, type ShareVerdict } from './rehearsal.ts'
export { shamirMemberId, shamirRemoteMember, type ShamirRemoteMember, shamirSealMember } from './seal-member.ts'
export { MAX_SHARES, MIN_THRESHOLD, type RandomBytes } from './secret-sharing.ts'
export { ShamirError, type ShamirErrorCode } from './shamir-error.ts'
export { formatShareCard, type ShareCard } from './share-card.ts'
export { type NamedShareSet, readShareSet, type ShareSet } from './share-set.ts'
export { encodeShare, MAX_SHARE_TEXT_BYTES, parseShare, SHARE_GROUPS, SHARE_TEXT_BYTES } from './share-text.ts'
export { type Share } from './share.ts'
