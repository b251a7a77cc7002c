import { generateKeyPair, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type CertificateAuthority, certificateAuthority } from '@sealwright/testing-rig'

/** Who can log in with a token that never ends, and the groups they are in. */
const users = {
  admin: { user: 'admin', groups: 'system:masters' },
  controllerManager: { user: 'system:kube-controller-manager', groups: '' },
} as const

export type ClusterUser = keyof typeof users

/** What makes API servers one cluster beside their etcd: their authority, users, and the key that signs service account tokens. */
export interface ClusterIdentity {
  readonly directory: string
  readonly authority: CertificateAuthority
  /** `iss` of service account tokens. */
  readonly serviceAccountIssuer: string
  /** RSA, PEM. */
  readonly serviceAccountKeyPath: string
  /** RSA, PEM: what a verifier of service account tokens is given. */
  readonly serviceAccountPublicKeyPath: string
  /** `--token-auth-file` of each API server. */
  readonly tokensPath: string
  readonly tokens: Readonly<Record<ClusterUser, string>>
}

const TOKEN_BYTES = 24
const RSA_BITS = 2048

/** Makes a new identity. All files go to `directory`, which is made (0700) when missing. */
export async function createClusterIdentity(options: { readonly directory: string }): Promise<ClusterIdentity> {
  const { directory } = options
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const authority = await certificateAuthority({ directory, name: 'kubernetes-ca' })
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', {
    modulusLength: RSA_BITS,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const tokens = { admin: newToken(), controllerManager: newToken() }
  const lines = (Object.keys(users) as ClusterUser[]).map(name => {
    const { user, groups } = users[name]
    return [tokens[name], user, name, ...(groups === '' ? [] : [groups])].join(',')
  })
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  return {
    directory,
    authority,
    serviceAccountIssuer: 'https://kubernetes.default.svc.cluster.local',
    serviceAccountKeyPath: await write('service-account.key', privateKey),
    serviceAccountPublicKeyPath: await write('service-account.pub', publicKey),
    tokensPath: await write('tokens.csv', `${lines.join('\n')}\n`),
    tokens,
  }
}

/** Writes a kubeconfig with which `user` talks to the API server at `url`, mode 0600. */
export async function writeKubeconfig(options: {
  readonly path: string
  readonly url: string
  readonly user: ClusterUser
  readonly identity: ClusterIdentity
}): Promise<void> {
  const { path, url, user, identity } = options
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': identity.authority.certificatePath } }],
    users: [{ name: user, user: { token: identity.tokens[user] } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
  }
  await writeFile(path, JSON.stringify(config), { mode: 0o600 })
}

function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('hex')
}
