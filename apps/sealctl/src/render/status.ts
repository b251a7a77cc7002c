import { judge, type SealHealthView, type SealView, type ShareSetView, type StatusView } from '@sealwright/control-api'
import { plain } from './plain.ts'

/** A status as an operator reads it: one line a fact, the verdict first. */
export function renderStatus(status: StatusView, now: Date): string {
  const verdict = judge(status)
  const rows: (readonly [string, string])[] = [
    ['verdict', verdict.kind === 'ready' ? 'ready' : verdict.kind.replace('-', ' ').toUpperCase()],
    ...(verdict.kind === 'ready' ? [] : verdict.reasons.map(reason => ['', reason] as const)),
    ['agent', `${status.state}, version ${status.version}, pid ${status.pid}, up ${ago(status.startedAt, now)}`],
    ['store', status.store],
    ['keyring', renderKeyring(status, now)],
    ...renderLeader(status, now),
    ...status.seals.flatMap(seal => [['seal', renderSeal(seal, now)] as const, ...renderSets(seal, status.state)]),
    ...(status.seals.some(waitsForOperator)
      ? [['', `once that is mended, here or in node.yaml: kill -HUP ${status.pid}`] as const]
      : []),
    ['openbao', renderOpenBao(status)],
    ['sessions', `${status.sessions} OpenBao ${status.sessions === 1 ? 'server' : 'servers'} connected`],
  ]
  const width = Math.max(...rows.map(([label]) => label.length))
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${plain(value)}\n`).join('')
}

function renderKeyring({ keyring }: StatusView, now: Date): string {
  if (keyring === undefined) return 'not open'
  const { keyId, generation, openedBy, openedAt } = keyring
  return `generation ${generation}, key ${keyId}, opened by ${openedBy} ${ago(openedAt, now)} ago`
}

/** A line about the key of the leader, only if this node does not have it. */
function renderLeader({ refusedKeyring }: StatusView, now: Date): readonly (readonly [string, string])[] {
  if (refusedKeyring === undefined) return []
  return [['leader', `key ${refusedKeyring.keyId}, refused for ${ago(refusedKeyring.since, now)}`]]
}

function renderSeal({ name, type, priority, disabled, health }: SealView, now: Date): string {
  const head = `${name} (${type}, priority ${priority})`
  if (disabled) return `${head}: disabled`
  return `${head}: ${type === 'shamir' ? 'opens by shares of people' : renderHealth(health, now)}`
}

/** A line for each set of shares, and what to do with them while the node is sealed. */
function renderSets(
  { name, disabled, sets = [] }: SealView,
  state: StatusView['state'],
): readonly (readonly [string, string])[] {
  if (disabled) return []
  const lines = sets.map(set => ['', renderSet(set)] as const)
  return state === 'sealed' && sets.length > 0
    ? [...lines, ['', `to open by them: sealctl unseal --seal ${name}`]]
    : lines
}

/** How far a set of shares is, in half a sentence. */
export function renderSet({ label, threshold, count, entered }: ShareSetView): string {
  const progress = entered.length === 0 ? 'none is in' : `in: ${entered.length} of ${threshold} (${entered.join(', ')})`
  return `${label}: ${threshold} of ${count} shares open it, ${progress}`
}

/** How a seal is, in half a sentence. */
export function renderHealth(health: SealHealthView, now: Date): string {
  switch (health.state) {
    case 'untried':
      return 'not tried yet'
    case 'healthy':
      return `opens, unwrapped ${ago(health.unwrappedAt, now)} ago in ${health.tookMs} ms`
    case 'failing':
      return `${health.code} for ${ago(health.since, now)}${health.retrying ? '' : ', waits for an operator'}`
  }
}

function waitsForOperator({ disabled, health }: SealView): boolean {
  return !disabled && health.state === 'failing' && !health.retrying
}

function renderOpenBao({ openbao }: StatusView): string {
  switch (openbao.state) {
    case 'not-configured':
      return 'not configured on this node'
    case 'unreachable':
      return `${openbao.address}: ${openbao.code}`
    case 'uninitialised':
    case 'sealed':
    case 'standby':
    case 'active':
      return `${openbao.address}: ${openbao.state}, version ${openbao.version}`
  }
}

const SECONDS_PER_MINUTE = 60
const SECONDS_PER_HOUR = 3_600
const SECONDS_PER_DAY = 86_400

/** How long ago, in the one unit that says most. */
function ago(isoTime: string, now: Date): string {
  const seconds = Math.max(0, (now.getTime() - Date.parse(isoTime)) / 1_000)
  if (seconds < 2 * SECONDS_PER_MINUTE) return `${Math.floor(seconds)} s`
  if (seconds < 2 * SECONDS_PER_HOUR) return `${Math.floor(seconds / SECONDS_PER_MINUTE)} min`
  if (seconds < 2 * SECONDS_PER_DAY) return `${Math.floor(seconds / SECONDS_PER_HOUR)} h`
  return `${Math.floor(seconds / SECONDS_PER_DAY)} days`
}
