import { type MemberView } from '@sealwright/control-api'
import { type BreakPlan } from '../break/plan.ts'
import { plain, table } from './plain.ts'
import { memberRemarks, recordsOf } from './seals.ts'

/** Who gets the next key, who does not, and what there is to wonder about. */
export function renderBreakPlan({ staying, leaving, nodes, fingerprint }: BreakPlan): string {
  const labels = tpmLabels(staying)
  const row = (member: MemberView, more: readonly string[]): readonly string[] => {
    const { seal, sealType, label, memberId } = member
    return [
      seal,
      sealType,
      label,
      memberId,
      member.fingerprint,
      recordsOf(member),
      [...memberRemarks(member), ...more].join(', '),
    ]
  }
  const removed =
    leaving.length === 0 ? '' : `\nThese are removed:\n${table([HEADINGS, ...leaving.map(member => row(member, []))])}`
  return (
    `These members get the next seal key, and nobody else:\n` +
    table([HEADINGS, ...staying.map(member => row(member, oddities(member, labels, nodes)))]) +
    removed +
    `\nfingerprint of the members that stay: ${plain(fingerprint)}\n`
  )
}

const HEADINGS = ['SEAL', 'TYPE', 'LABEL', 'MEMBER', 'FINGERPRINT', 'RECORDS', 'REMARKS']

/** What a stranger may be known by. */
function oddities(
  { sealType, label }: MemberView,
  labels: readonly string[],
  nodes: readonly string[],
): readonly string[] {
  if (sealType !== 'tpm') return []
  return [
    ...(nodes.includes(label) ? [] : ['NO SUCH SERVER']),
    ...(labels.filter(other => other === label).length > 1 ? ['SEVERAL OF THIS LABEL'] : []),
  ]
}

function tpmLabels(members: readonly MemberView[]): readonly string[] {
  return members.filter(({ sealType }) => sealType === 'tpm').map(({ label }) => label)
}
