import { type ListedSealView, type MemberView, type PlaceView } from '@sealwright/control-api'
import { plain, table } from './plain.ts'

/** Seals as a table, one a line. */
export function renderSeals(seals: readonly ListedSealView[]): string {
  const rows = table([
    ['SEAL', 'TYPE', 'HERE', 'MEMBERS', 'GENERATIONS', 'REMARKS'],
    ...seals.map(seal => [
      seal.name,
      seal.type,
      renderPlace(seal),
      seal.members === undefined ? UNKNOWN : String(seal.members.length),
      renderGenerations(seal.members),
      remarks(seal).join(', '),
    ]),
  ])
  return seals.some(({ members }) => members === undefined) ? `${rows}${NOT_LISTED}` : rows
}

/** One seal with its members. */
export function renderSeal(seal: ListedSealView): string {
  const facts = table([
    ['seal', seal.name],
    ['type', seal.type],
    ['here', renderPlace(seal)],
    ['remarks', remarks(seal).join(', ') || 'none'],
  ])
  if (seal.members === undefined) return facts
  return seal.members.length === 0
    ? `${facts}it has no member: sealctl init --seal ${seal.name}\n`
    : `${facts}\n${renderMembers(seal.members)}`
}

/** Members as a table, one a line. */
export function renderMembers(members: readonly MemberView[]): string {
  return table([
    ['SEAL', 'MEMBER', 'LABEL', 'STATE', 'RECORDS', 'REMARKS'],
    ...members.map(member => [
      member.seal,
      member.memberId,
      member.label,
      member.state,
      recordsOf(member),
      memberRemarks(member).join(', '),
    ]),
  ])
}

/** Members by name, a line each. */
export function renderPlaces(title: string, places: readonly PlaceView[]): string {
  return places.map(({ seal, label, memberId }) => `${title} ${plain(`${seal}/${label} (${memberId})`)}\n`).join('')
}

const UNKNOWN = 'unknown'

const NOT_LISTED = `
This node is sealed: its keyring is not open, and nobody can say yet which members and records a seal has, nor which seals are not in
node.yaml. Shares that were handed out still open it: sealctl status, sealctl unseal
`

function renderPlace({ configured }: ListedSealView): string {
  if (configured === undefined) return 'no'
  return configured.disabled ? 'disabled' : `priority ${configured.priority}`
}

function renderGenerations(members: readonly MemberView[] | undefined): string {
  if (members === undefined) return UNKNOWN
  const numbers = new Set(members.flatMap(({ records }) => records.map(({ generation }) => generation)))
  return [...numbers].sort((one, other) => one - other).join(' ') || 'none'
}

function remarks({ opened, members, configured }: ListedSealView): readonly string[] {
  if (members === undefined) return ['unknown: this node is sealed']
  const exposed = members.filter(isExposed).length
  return [
    ...(opened ? ['opened this node'] : []),
    ...(members.length === 0 && configured !== undefined ? ['not initialised'] : []),
    ...(exposed > 0 ? [`${exposed} quantum-exposed`] : []),
  ]
}

/** The generations that it has a record of, and how each was made: `gen 2: tpm-sealed`. */
export function recordsOf({ records }: MemberView): string {
  return records.map(({ generation, method }) => `gen ${generation}: ${method}`).join(', ') || 'none'
}

/** What there is to say of it. */
export function memberRemarks(member: MemberView): readonly string[] {
  const { shares } = member
  return [
    ...(shares === undefined ? [] : [`${shares.threshold} of ${shares.count} shares`]),
    ...(isExposed(member) ? ['quantum-exposed'] : []),
  ]
}

/** Somebody who keeps a copy of the keyring may open it with a quantum computer. */
function isExposed({ records }: MemberView): boolean {
  return records.some(({ quantumExposed }) => quantumExposed)
}
