import { type GenerationView, type RotationView } from '@sealwright/control-api'
import { plain, table } from './plain.ts'
import { renderPlaces } from './seals.ts'

/** What a rotation did, and what has to be done now. */
export function renderRotation({ generation, keyId, wrapped, dropped }: RotationView): string {
  return (
    `generation ${generation} (key ${plain(keyId)}) encrypts from now on\n` +
    renderPlaces('wrapped for', wrapped) +
    renderPlaces('REMOVED', dropped) +
    NEXT_STEPS
  )
}

/** Generations as a table, one a line. */
export function renderGenerations(generations: readonly GenerationView[]): string {
  return table([
    ['GENERATION', 'KEY', 'STATE', 'STEP', 'REMARKS'],
    ...generations.map(({ number, keyId, state, step, current }) => [
      ...[String(number), keyId, state, step],
      current ? 'current' : '',
    ]),
  ])
}

const NEXT_STEPS = `
OpenBao still stores what the old key sealed. Now
  1. wait until the other nodes have it: sealctl generations there shows it as current, after about a minute
  2. have OpenBao re-wrap its root key, on any node: bao write -f sys/rotate/root
  3. and its recovery key, by another leader: bao operator step-down
  4. bring the keyrings together: sealctl keyring export on each other node, sealctl keyring import on the new leader
  5. take a snapshot after that: bao operator raft snapshot save FILE
  6. retire what the snapshot does not name any more, there: sealctl rotate retire --snapshot FILE
`
