import { isForgeable, type PcrPolicy } from '@sealwright/pcr-policies'

/** A line of warning for policies that protect nothing; empty if there is none. */
export function forgeableNote(policies: readonly PcrPolicy[]): string {
  const labels = policies.filter(isForgeable).map(({ label }) => label)
  if (labels.length === 0) return ''
  return `WARNING: any program can reset PCR 16 and 23, so a policy of these alone keeps nobody out: ${labels.join(', ')}\n`
}
