import { hex } from '@sealwright/bytes'
import { type Share } from './share.ts'

/** What stands on the card beside the share itself, as text. Nothing in it is secret. */
export interface ShareCard {
  /** 32 hex digits. Opening by shares alone is opening of this cluster and no other. */
  readonly clusterId: string
  readonly sealName: string
  readonly setLabel: string
  /** 32 hex digits. */
  readonly memberId: string
  /** Which of the shares this is, from 1. */
  readonly index: number
  /** How many there are. */
  readonly shares: number
  /** How many of them open. */
  readonly threshold: number
  /** When the set was made, `YYYY-MM-DD` in UTC. */
  readonly createdOn: string
}

/** Facts for the card of one share. The share's text is a secret, and is not among them. */
export function formatShareCard(input: {
  readonly share: Omit<Share, 'value'>
  readonly sealName: string
  readonly setLabel: string
  /** Milliseconds since 1970. */
  readonly createdAtMs: number
}): ShareCard {
  const { share, sealName, setLabel, createdAtMs } = input
  const { clusterId, memberId, index, shares, threshold } = share
  return {
    clusterId: hex(clusterId),
    sealName,
    setLabel,
    memberId: hex(memberId),
    index,
    shares,
    threshold,
    createdOn: new Date(createdAtMs).toISOString().slice(0, 'YYYY-MM-DD'.length),
  }
}
