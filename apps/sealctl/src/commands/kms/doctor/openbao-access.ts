import { randomBytes } from 'node:crypto'
import { type TransitBackendConfig } from '@sealwright/kms-config'
import { OpenBaoError, type Send } from '@sealwright/openbao'
import { type Secret } from '@sealwright/secret'
import * as v from 'valibot'
import { rulesOf, withoutSlashes } from '../files/policy.ts'
import { type Check, failed, note, passed, skipped, warning } from './check.ts'
import { readJson, withLogin } from './openbao-connection.ts'

const OK = 200
const FORBIDDEN = 403
const NOT_FOUND = 404

const POLICY_REMEDY = 'write the policy as sealctl kms policy openbao prints it'

const capabilities = v.object({ data: v.record(v.string(), v.unknown()) })
const keyAnswer = v.object({
  data: v.object({
    type: v.string(),
    exportable: v.optional(v.boolean(), false),
    allow_plaintext_backup: v.optional(v.boolean(), false),
    deletion_allowed: v.optional(v.boolean(), false),
    auto_rotate_period: v.optional(v.union([v.number(), v.string()]), 0),
  }),
})
type KeySettings = v.InferOutput<typeof keyAnswer>['data']

/** What the token of the configuration’s own login may do beside its work, and how the key is kept. Nothing is changed. */
export async function checkAccess(
  address: string,
  backend: TransitBackendConfig,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  try {
    return await withLogin(address, backend, {
      signal,
      use: async (send, token) => [
        passed('login', `auth method ${backend.auth.method}`),
        ...(await checkToken(send, token, backend, signal)),
        ...(await checkSettings(send, token, backend, signal)),
      ],
    })
  } catch (error) {
    if (!(error instanceof OpenBaoError)) throw error
    return [
      failed('login', `${error.code}: ${error.message}`, 'check auth of the configuration: sealctl kms policy openbao'),
    ]
  }
}

async function checkToken(
  send: Send,
  token: Secret,
  backend: TransitBackendConfig,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const [encrypt = '', , keys = ''] = rulesOf(backend).map(({ path }) => path)
  const answer = await send({
    ...{ method: 'POST', path: 'sys/capabilities-self', call: { signal, token }, expected: [OK, FORBIDDEN] },
    body: new TextEncoder().encode(JSON.stringify({ paths: [encrypt, keys] })),
  })
  if (answer.status === FORBIDDEN) {
    return [
      passed('token-no-default-policy', 'the token may not even ask what it may'),
      await checkWidth(send, token, backend, signal),
    ]
  }
  const { data } = readJson(capabilities, answer)
  const may = (path: string, what: string): boolean => {
    const list = data[path]
    return Array.isArray(list) && list.includes(what)
  }
  const wide = [
    ...(may(encrypt, 'root') ? ['it is a root token'] : []),
    ...(may(encrypt, 'create') ? ['it may make keys by encrypting (create)'] : []),
    ...(['create', 'update', 'patch', 'delete'].some(each => may(keys, each))
      ? ['it may change or delete the key']
      : []),
  ]
  return [
    warning(
      'token-no-default-policy',
      'the token has the policy default: it may do more than it needs, and each call takes about twice as long',
      'token_no_default_policy=true at the role, or -no-default-policy with bao token create',
    ),
    wide.length === 0
      ? await checkWidth(send, token, backend, signal)
      : failed('policy-too-wide', wide.join('; '), POLICY_REMEDY),
  ]
}

/** Looks at what is not there, or is nobody’s secret: a narrow policy forbids it. */
async function checkWidth(
  send: Send,
  token: Secret,
  { mountPath }: TransitBackendConfig,
  signal: AbortSignal,
): Promise<Check> {
  const nobodys = `sealwright-doctor-${randomBytes(8).toString('hex')}`
  const looks = [
    { path: `${withoutSlashes(mountPath)}/keys/${nobodys}`, what: 'look at other keys' },
    { path: 'sys/mounts', what: 'look at the mounts' },
    { path: 'sys/auth', what: 'look at the ways to log in' },
  ]
  const allowed: string[] = []
  for (const { path, what } of looks) {
    const { status } = await send({
      method: 'GET',
      path,
      call: { signal, token },
      expected: [OK, FORBIDDEN, NOT_FOUND],
    })
    if (status !== FORBIDDEN) allowed.push(what)
  }
  if (allowed.length === 0) return passed('policy-too-wide', 'other keys, mounts and logins are out of its reach')
  return failed('policy-too-wide', `the token may ${allowed.join(', ')}`, POLICY_REMEDY)
}

async function checkSettings(
  send: Send,
  token: Secret,
  { mountPath, keyName }: TransitBackendConfig,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const path = `${withoutSlashes(mountPath)}/keys/${keyName}`
  const answer = await send({ method: 'GET', path, call: { signal, token }, expected: [OK, FORBIDDEN, NOT_FOUND] })
  if (answer.status !== OK) return [skipped('key-type', `OpenBao answers ${answer.status} about the key`)]
  return settingsOf(readJson(keyAnswer, answer).data, path)
}

function settingsOf(key: KeySettings, path: string): readonly Check[] {
  const ways = [
    ...(key.exportable ? ['exportable'] : []),
    ...(key.allow_plaintext_backup ? ['allow_plaintext_backup'] : []),
  ]
  const period = String(key.auto_rotate_period)
  return [
    key.type === 'aes256-gcm96'
      ? passed('key-type', key.type)
      : warning('key-type', key.type, 'tested is aes256-gcm96: make such a key where you can'),
    ways.length === 0
      ? passed('key-not-exportable', 'it never leaves OpenBao')
      : warning(
          'key-not-exportable',
          `${ways.join(', ')}: whoever may, can take the key out`,
          'this cannot be taken back: make a key without it, and move over to it',
        ),
    key.deletion_allowed
      ? warning(
          'key-deletion-not-allowed',
          'deletion_allowed: with the key every Secret is lost',
          `bao write ${path}/config deletion_allowed=false`,
        )
      : passed('key-deletion-not-allowed', 'it cannot be deleted by mistake'),
    ['0', '0s', ''].includes(period)
      ? passed('key-auto-rotate', 'it is rotated by hand')
      : note(
          'key-auto-rotate',
          `OpenBao rotates it by itself (auto_rotate_period ${period})`,
          'what is encrypted stays under its old version until it is written anew: sealctl kms rotation-plan',
        ),
  ]
}
