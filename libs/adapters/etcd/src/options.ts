import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Secret } from '@sealwright/secret'
import { EtcdError } from './errors.ts'

/** What we show to an etcd that asks its clients for certificates, as kubeadm's does. */
export interface EtcdClientCertificate {
  /** The certificate, then its intermediates. */
  readonly certificatePem: string
  /** Unencrypted PEM. Stays the caller's. OpenSSL keeps a copy that cannot be wiped. */
  readonly privateKeyPem: Secret
}

export interface EtcdOptions {
  /** Members of one cluster, at least one: `https://host:port`, or `http://` on a loopback host. The next is asked where one fails. */
  readonly endpoints: readonly string[]
  /** PEM of the authorities that members are believed by. Needed for https. */
  readonly caPem?: string
  readonly clientCertificate?: EtcdClientCertificate
  /** Limit of one request, from its start to the last byte of the answer. Default: {@link DEFAULT_TIMEOUT_MS}. */
  readonly timeoutMs?: number
  /** Largest answer that is taken, in bytes. Default: {@link DEFAULT_MAX_RESPONSE_BYTES}. */
  readonly maxResponseBytes?: number
}

/** A busy etcd on a slow disk answers a page within a second or two. */
export const DEFAULT_TIMEOUT_MS = 30_000
/** A value has up to 1.5 MiB unless etcd was told otherwise, and is a third longer in base64. */
export const DEFAULT_MAX_RESPONSE_BYTES = 16_777_216

/** The address of one member, checked. */
export interface EtcdEndpoint {
  readonly origin: string
  readonly isHttps: boolean
}

/**
 * Checks the addresses.
 *
 * @throws {EtcdError} `ETCD_OPTIONS_INVALID`, without the user name or password that may stand in one.
 */
export function parseEndpoints(endpoints: readonly string[]): readonly EtcdEndpoint[] {
  if (endpoints.length === 0) throw invalid('name at least one address')
  return endpoints.map(parseEndpoint)
}

function parseEndpoint(text: string): EtcdEndpoint {
  if (!URL.canParse(text)) throw invalid('an address must be https://host:port, or http://127.0.0.1:port')
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') throw invalid('an address must not hold a user name or password')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid(`"${url.protocol}" is not known`)
  if (url.pathname !== '/' || /[?#]/.test(text)) throw invalid('an address must end after the port')
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const isHttps = url.protocol === 'https:'
  if (!isHttps && !isLoopback(hostname)) {
    throw invalid(`plain http to ${hostname} would show every object to the network; only loopback hosts are allowed`)
  }
  return { origin: url.origin, isHttps }
}

/** RFC 1122 §3.2.1.3 (127/8), RFC 4291 §2.5.3 (::1), RFC 6761 §6.3 (`localhost`). */
function isLoopback(hostname: string): boolean {
  return isIP(hostname) === 4 ? hostname.startsWith('127.') : hostname === '::1' || hostname === 'localhost'
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * Builds what TLS needs, so that a wrong file is found before the first connection; undefined where no address is https.
 *
 * @throws {EtcdError} `ETCD_OPTIONS_INVALID`.
 */
export function secureContextOf(
  { caPem, clientCertificate }: EtcdOptions,
  endpoints: readonly EtcdEndpoint[],
): SecureContext | undefined {
  if (!endpoints.some(({ isHttps }) => isHttps)) {
    if (caPem === undefined && clientCertificate === undefined) return undefined
    throw invalid('certificates are for https addresses only')
  }
  // The authorities that Node carries would let anybody with a public certificate in.
  if (caPem === undefined) throw invalid('https needs the CA of etcd')
  const ca = [...authoritiesIn(caPem)]
  const minVersion = 'TLSv1.2'
  try {
    if (clientCertificate === undefined) return createSecureContext({ minVersion, ca })
    return clientCertificate.privateKeyPem.reveal(key =>
      createSecureContext({
        ...{ minVersion, ca },
        cert: clientCertificate.certificatePem,
        key: Buffer.from(key.buffer, key.byteOffset, key.byteLength),
      }),
    )
  } catch (cause) {
    throw new EtcdError('ETCD_OPTIONS_INVALID', 'the client certificate and its private key do not fit each other', {
      cause,
    })
  }
}

/** OpenSSL overlooks what it cannot read; we do not. */
function authoritiesIn(pem: string): readonly string[] {
  const certificates = pem.match(PEM_CERTIFICATE) ?? []
  if (certificates.length === 0) throw invalid('the CA of etcd holds no PEM certificate')
  for (const certificate of certificates) {
    try {
      new X509Certificate(certificate)
    } catch (cause) {
      throw new EtcdError('ETCD_OPTIONS_INVALID', 'a certificate in the CA of etcd is broken', { cause })
    }
  }
  return certificates
}

function invalid(reason: string): EtcdError {
  return new EtcdError('ETCD_OPTIONS_INVALID', `etcd: ${reason}`)
}
