import { X509Certificate } from 'node:crypto'
import { SealPluginError } from './errors.ts'

/** OpenBao 2.7.2 makes P-521; the others would do as well. */
const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

/** The one certificate that a session will trust. */
export interface ClientCertificate {
  readonly pem: string
  /** SHA-256 over the DER form, hex. */
  readonly fingerprint: string
}

/**
 * Checks the client certificate of a request. It need not be secret and proves nothing by itself: TLS will ask the
 * host for the private key.
 *
 * @param der - exactly one X.509 certificate, self-issued, a CA, with an EC key of a NIST curve.
 * @throws {@link SealPluginError} `SEAL_PLUGIN_REQUEST_INVALID`
 */
export function parseClientCertificate(der: Buffer): ClientCertificate {
  const certificate = parseX509(der)
  if (!certificate.raw.equals(der)) throw invalid('there are bytes after the certificate')
  const key = certificate.publicKey
  if (key.asymmetricKeyType !== 'ec' || !CURVES.has(key.asymmetricKeyDetails?.namedCurve)) {
    throw invalid(`its key is not of a NIST curve (${key.asymmetricKeyType ?? 'no type'})`)
  }
  if (!certificate.ca || !certificate.checkIssued(certificate)) throw invalid('it is not its own issuer')
  return {
    pem: certificate.toString(),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
  }
}

function parseX509(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der)
  } catch (cause) {
    throw invalid('it does not parse', cause)
  }
}

function invalid(why: string, cause?: unknown): SealPluginError {
  return new SealPluginError('SEAL_PLUGIN_REQUEST_INVALID', `unusable client certificate: ${why}`, { cause })
}
