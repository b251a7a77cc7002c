// @peculiar/x509 is built on tsyringe, which refuses to load without it.
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-521' } as const
const SIGNING_ALGORITHM = { name: 'ECDSA', hash: 'SHA-512' } as const
const HOUR_MS = 3_600_000
/** The name that both sides of go-plugin give themselves. */
const HOST_NAME = 'localhost'

/** A certificate and its key as PEM. */
export interface HostCertificate {
  readonly certificatePem: string
  readonly privateKeyPem: string
}

/** Makes a certificate that signs itself, as OpenBao does for each start of a plugin. */
export async function makeHostCertificate(): Promise<HostCertificate> {
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])
  const nowMs = Date.now()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    // RFC 5280 §4.1.2.2: positive and at most 20 bytes.
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    name: `CN=${HOST_NAME}`,
    notBefore: new Date(nowMs - HOUR_MS),
    notAfter: new Date(nowMs + HOUR_MS),
    keys,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([{ type: 'dns', value: HOST_NAME }]),
    ],
  })
  const privateKey = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificatePem: certificate.toString('pem'),
    privateKeyPem: PemConverter.encode(privateKey, 'PRIVATE KEY'),
  }
}
