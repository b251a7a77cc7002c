import { type StatusView } from './status.ts'

/** What an operator wants to know first. */
export type Verdict =
  | { readonly kind: 'ready' }
  /** Works now, yet something would hinder the next restart. */
  | { readonly kind: 'at-risk'; readonly reasons: readonly string[] }
  | { readonly kind: 'not-ready'; readonly reasons: readonly string[] }

/**
 * Judges a status whose seals were just probed: ready means that a real unwrap succeeded now, and that OpenBao,
 * if this node has one, is open.
 */
export function judge(status: StatusView): Verdict {
  const blocking = [...(status.state === 'sealed' ? ['no seal has opened the keyring'] : []), ...openBaoReasons(status)]
  if (blocking.length > 0) return { kind: 'not-ready', reasons: [...blocking, ...sealReasons(status)] }
  const risks = [
    ...unknownOpenBaoReasons(status),
    ...refusedKeyringReasons(status),
    ...noAutomaticSealReasons(status),
    ...sealReasons(status),
  ]
  if (risks.length > 0) return { kind: 'at-risk', reasons: risks }
  return { kind: 'ready' }
}

function openBaoReasons({ openbao }: StatusView): readonly string[] {
  switch (openbao.state) {
    case 'not-configured':
    case 'active':
    case 'standby':
      return []
    case 'unreachable':
      return [`OpenBao does not answer: ${openbao.message || saysNothing(openbao.code)}`]
    case 'sealed':
      return ['OpenBao is sealed']
    case 'uninitialised':
      return [
        'OpenBao is not initialised: on the first node of a new cluster run `bao operator init`; else check its retry_join, and that ' +
          'its storage is mounted',
      ]
  }
}

/** As for a moment after a snapshot was restored. */
function saysNothing(code: string): string {
  return `it fails and does not say why (${code}); after a snapshot was restored that passes by itself, else see its log`
}

function unknownOpenBaoReasons({ openbao }: StatusView): readonly string[] {
  if (openbao.state !== 'not-configured') return []
  return [
    'openbao.address is missing in the configuration: nothing is decrypted for OpenBao; set it, then restart the agent',
  ]
}

function refusedKeyringReasons({ refusedKeyring }: StatusView): readonly string[] {
  if (refusedKeyring === undefined) return []
  const { keyId, code, message } = refusedKeyring
  return [
    code === SHUTS_OUT
      ? `the keyring of OpenBao's leader shuts this node out, which goes on with its own: after the next rotation OpenBao would stay sealed here`
      : `OpenBao's leader encrypts under the key ${keyId}, which this node does not have: after a restart OpenBao would stay sealed here`,
    `its keyring does not help here: ${code}: ${message}`,
    ...(SAYS_WHAT_TO_DO.has(code)
      ? []
      : [
          'have the leader give this node a record (sealctl enroll approve), or bring a keyring that this node can follow (sealctl keyring ' +
            'import)',
        ]),
  ]
}

/** The key of the leader may be held all the same. */
const SHUTS_OUT = 'CUSTODY_SHUT_OUT'

/** Codes whose message has the remedy: the id of the cluster, this node's keyring, a seal that comes back, the runbook. */
const SAYS_WHAT_TO_DO = new Set(['KEYRING_ORIGIN_UNPROVEN', 'KEYRING_KEY_UNKNOWN', 'CUSTODY_SEALED', SHUTS_OUT])

function noAutomaticSealReasons({ seals }: StatusView): readonly string[] {
  if (seals.some(({ type, disabled }) => !disabled && type !== SHARED)) return []
  return ['no automatic seal is configured: after a restart people have to enter their shares']
}

/** A seal that people open together. Nobody can try it for them. */
const SHARED = 'shamir'

function sealReasons({ seals }: StatusView): readonly string[] {
  return seals.flatMap(({ name, type, disabled, health }) => {
    if (disabled || type === SHARED || health.state === 'healthy') return []
    if (health.state === 'untried') return [`seal ${name} was not tried`]
    return [`seal ${name} does not open: ${health.code}: ${health.message}`]
  })
}
