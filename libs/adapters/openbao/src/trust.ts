import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from './error.ts'

/** Whom we believe to be OpenBao. */
export type OpenBaoTrust =
  /** PEM file with one or more authorities, read once. */
  | { readonly kind: 'ca-file'; readonly path: string }
  | { readonly kind: 'ca-pem'; readonly pem: string }
  /** The authorities that Node carries: for a certificate of a public authority. */
  | { readonly kind: 'system' }
  /** Whoever answers, without any check: they get the token, and what is encrypted. For experiments. */
  | { readonly kind: 'unsafely-anybody' }

/** What we show to an OpenBao that asks its clients for certificates. */
export interface ClientCertificate {
  /** The certificate, then its intermediates. */
  readonly certificatePem: string
  /** PKCS#8 PEM, unencrypted. Stays the caller's. OpenSSL keeps a copy that cannot be wiped. */
  readonly privateKeyPem: Secret
}

/** The trust as words for messages. */
export function describeTrust(trust: OpenBaoTrust): string {
  switch (trust.kind) {
    case 'ca-file':
      return `CA file ${trust.path}`
    case 'ca-pem':
      return 'the given CA certificates'
    case 'system':
      return 'the system authorities'
    case 'unsafely-anybody':
      return 'no check at all'
  }
}

/**
 * Builds what TLS needs, so that a wrong file is found before the first connection.
 *
 * @throws {@link OpenBaoError} `OPENBAO_TLS` for a file that cannot be read, is no certificate, or a key that fits none.
 */
export function secureContext(trust: OpenBaoTrust, client: ClientCertificate | undefined): SecureContext {
  const authorities =
    trust.kind === 'system' || trust.kind === 'unsafely-anybody' ? {} : { ca: [...readAuthorities(trust)] }
  try {
    if (client === undefined) return createSecureContext({ minVersion: 'TLSv1.2', ...authorities })
    return client.privateKeyPem.reveal(key =>
      // A view, not a copy: `key` stays the caller's to wipe.
      createSecureContext({
        minVersion: 'TLSv1.2',
        ...authorities,
        cert: client.certificatePem,
        key: Buffer.from(key.buffer, key.byteOffset, key.byteLength),
      }),
    )
  } catch (cause) {
    throw new OpenBaoError('OPENBAO_TLS', 'the client certificate and its private key cannot be used', { cause })
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** OpenSSL overlooks what it cannot read; we do not. */
function readAuthorities(trust: Extract<OpenBaoTrust, { kind: 'ca-file' | 'ca-pem' }>): readonly string[] {
  const where = describeTrust(trust)
  let pem: string
  try {
    pem = trust.kind === 'ca-pem' ? trust.pem : readFileSync(trust.path, 'utf8')
  } catch (cause) {
    throw new OpenBaoError('OPENBAO_TLS', `${where} cannot be read`, { cause })
  }
  const certificates = pem.match(PEM_CERTIFICATE) ?? []
  if (certificates.length === 0) throw new OpenBaoError('OPENBAO_TLS', `${where} holds no PEM certificate`)
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate)
    } catch (cause) {
      throw new OpenBaoError('OPENBAO_TLS', `certificate ${index + 1} in ${where} is broken`, { cause })
    }
  }
  return certificates
}
