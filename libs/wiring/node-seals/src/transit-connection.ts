import { type TransitConnection } from '@sealwright/node-config'
import { type AuthMethod, type OpenBaoTrust, type ReadClientCertificate } from '@sealwright/openbao'
import { readSecretFile } from '@sealwright/program'
import { readFile } from 'node:fs/promises'

/** How a client of another OpenBao proves itself, and whom it trusts. */
export interface ConnectionOptions {
  readonly auth: AuthMethod
  /** Only where an address is https. */
  readonly trust?: OpenBaoTrust
  readonly serverName?: string
  readonly readClientCertificate?: ReadClientCertificate
}

/**
 * From a configuration to what `openTransit` takes. Files are read when they are needed, and then each time.
 *
 * @param addresses - those that it is for.
 */
export function transitConnection({ auth, tls }: TransitConnection, addresses: readonly string[]): ConnectionOptions {
  const { certFile, keyFile, serverName } = tls
  return {
    auth: authMethodOf(auth),
    ...(addresses.some(address => address.startsWith('https://')) ? { trust: trustOf(tls) } : {}),
    ...(serverName === undefined ? {} : { serverName }),
    ...(certFile === undefined || keyFile === undefined
      ? {}
      : {
          readClientCertificate: async () => ({
            certificatePem: await readFile(certFile, 'utf8'),
            privateKeyPem: await readSecretFile(keyFile),
          }),
        }),
  }
}

function trustOf({ caFile, unsafelySkipVerify }: TransitConnection['tls']): OpenBaoTrust {
  if (unsafelySkipVerify) return { kind: 'unsafely-anybody' }
  return caFile === undefined ? { kind: 'system' } : { kind: 'ca-file', path: caFile }
}

function authMethodOf(auth: TransitConnection['auth']): AuthMethod {
  switch (auth.method) {
    case 'token':
      return { method: 'token', readToken: () => readSecretFile(auth.tokenFile) }
    case 'approle':
      return {
        ...{ method: 'approle', mountPath: auth.mountPath },
        readRoleId: () => readSecretFile(auth.roleIdFile),
        readSecretId: () => readSecretFile(auth.secretIdFile),
      }
    case 'jwt':
      return {
        ...{ method: 'jwt', mountPath: auth.mountPath, role: auth.role },
        readJwt: () => readSecretFile(auth.jwtFile),
      }
    case 'kubernetes':
      return {
        ...{ method: 'kubernetes', mountPath: auth.mountPath, role: auth.role },
        // Kubernetes lets everybody in the pod read it.
        readJwt: () => readSecretFile(auth.jwtFile, { mayBeReadByAll: true }),
      }
    case 'cert':
      return {
        ...{ method: 'cert', mountPath: auth.mountPath },
        ...(auth.role === undefined ? {} : { role: auth.role }),
      }
  }
}
