import { access, readFile } from 'node:fs/promises'
import { X509Certificate } from 'node:crypto'
import { type KmsConfig, type TransitBackendConfig } from '@sealwright/kms-config'
import { ProgramError, readSecretFile } from '@sealwright/program'
import { errorCodeOf } from '@sealwright/system-error'
import { type Check, failed, note, passed, warning, wordsOf } from './check.ts'

const MS_PER_DAY = 86_400_000
/** Enough time to have a certificate renewed. */
const SOON_DAYS = 30

/** Where the plugin is started from, on a usual node. */
const STARTERS = [
  '/etc/systemd/system/sealwright-kms.service',
  '/etc/kubernetes/manifests/sealwright-kms.yaml',
  '/etc/kubernetes/manifests/static-pod.yaml',
] as const

/** What lies on this node, beside the plugin. */
export async function checkNode(config: KmsConfig, now: Date): Promise<readonly Check[]> {
  const { backend } = config
  return [
    await checkStarter(),
    ...(backend.type === 'keyring'
      ? []
      : [await checkCredentials(backend), checkLoginMethod(backend), ...(await checkCertificates(backend, now))]),
  ]
}

async function checkStarter(): Promise<Check> {
  for (const path of STARTERS) {
    try {
      await access(path)
      return passed('starts-with-node', path)
    } catch (error) {
      if (errorCodeOf(error) === undefined) throw error
    }
  }
  return note(
    'starts-with-node',
    `none of ${STARTERS.join(', ')} is there`,
    'whatever starts the plugin must do so without the API server: sealctl kms systemd-unit, sealctl kms static-pod; never a DaemonSet',
  )
}

/** Read as the plugin reads them, and forgotten at once. */
async function checkCredentials({ auth, tls }: TransitBackendConfig): Promise<Check> {
  const byMethod = Object.entries(auth).flatMap(([name, path]) =>
    name.endsWith('File') && path !== undefined ? [path] : [],
  )
  const files = [...byMethod, ...(tls.keyFile === undefined ? [] : [tls.keyFile])]
  for (const path of files) {
    try {
      const secret = await readSecretFile(path, { mayBeReadByAll: auth.method === 'kubernetes' })
      secret.wipe()
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error
      return failed(
        'credential-files',
        `${error.code}: ${error.message}`,
        'write it anew, as sealctl kms policy openbao shows',
      )
    }
  }
  return passed('credential-files', files.length === 0 ? 'none is needed' : files.join(', '))
}

/** Whether a login needs the API server that waits for this plugin. */
function checkLoginMethod({ auth }: TransitBackendConfig): Check {
  if (auth.method !== 'kubernetes') return passed('login-without-cluster', `auth method ${auth.method}`)
  return warning(
    'login-without-cluster',
    'auth method kubernetes: OpenBao asks the API server about each login',
    'if that is the API server that waits for this plugin, neither comes up after a power cut: use approle, cert, jwt or token',
  )
}

async function checkCertificates({ tls }: TransitBackendConfig, now: Date): Promise<readonly Check[]> {
  const files = [tls.caFile, tls.certFile].filter(path => path !== undefined)
  return await Promise.all(files.map(async path => await checkCertificate(path, now)))
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

async function checkCertificate(path: string, now: Date): Promise<Check> {
  try {
    const pem = await readFile(path, 'utf8')
    const ends = (pem.match(PEM_CERTIFICATE) ?? []).map(each => new X509Certificate(each).validToDate)
    if (ends.length === 0) return failed('tls-expiry', `${path} holds no PEM certificate`, 'write it anew')
    return expiryOf(path, new Date(Math.min(...ends.map(end => end.getTime()))), now)
  } catch (error) {
    return failed('tls-expiry', `${path}: ${errorCodeOf(error) ?? wordsOf(error)}`, 'write it anew')
  }
}

/** @param what - whose certificate it is. */
export function expiryOf(what: string, end: Date, now: Date): Check {
  const days = Math.floor((end.getTime() - now.getTime()) / MS_PER_DAY)
  const found = `${what}: until ${end.toISOString()}`
  if (days < 0) return failed('tls-expiry', found, 'it has ended: have it renewed')
  return days < SOON_DAYS
    ? warning('tls-expiry', `${found}, ${days} days`, 'have it renewed')
    : passed('tls-expiry', found)
}
