import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
} from '@peculiar/asn1-x509'
import { generateKeyPair, sign } from 'node:crypto'
import { promisify } from 'node:util'

/** The name that go-plugin's client expects of every plugin. */
const HOST_NAME = 'localhost'
/** RFC 5758 §3.2: ecdsa-with-SHA256. */
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
/** X.520 commonName. */
const COMMON_NAME = '2.5.4.3'

/** Key pair and self-signed certificate, never written to a disk. */
export interface SelfSignedCertificate {
  readonly privateKeyPem: string
  readonly certificatePem: string
  readonly certificateDer: Buffer
}

/**
 * Makes a key pair and a certificate for it, signed by itself, as both sides of go-plugin want it: CN and SAN
 * `localhost`, CA, digitalSignature and keyCertSign.
 *
 * @param serial - 16 random bytes.
 * @param purpose - one OID of extended key usage; Go and OpenSSL both check it.
 */
export async function makeSelfSignedCertificate(parameters: {
  readonly curve: 'P-256' | 'P-521'
  readonly purpose: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly serial: Uint8Array
}): Promise<SelfSignedCertificate> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: parameters.curve })
  const name = new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type: COMMON_NAME, value: new AttributeValue({ utf8String: HOST_NAME }) }),
    ]),
  ])
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 })
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: positiveSerial(parameters.serial),
    signature: algorithm,
    issuer: name,
    validity: new Validity({ notBefore: new Date(parameters.notBeforeMs), notAfter: new Date(parameters.notAfterMs) }),
    subject: name,
    subjectPublicKeyInfo: AsnConvert.parse(publicKey.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo),
    extensions: new Extensions([
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign)),
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([parameters.purpose])),
      extension(id_ce_subjectAltName, false, new SubjectAlternativeName([new GeneralName({ dNSName: HOST_NAME })])),
    ]),
  })
  const signature = sign('sha256', Buffer.from(AsnConvert.serialize(tbsCertificate)), privateKey)
  const certificateDer = Buffer.from(
    AsnConvert.serialize(
      new Certificate({
        tbsCertificate,
        signatureAlgorithm: algorithm,
        signatureValue: Uint8Array.from(signature).buffer,
      }),
    ),
  )
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificatePem: pemOf(certificateDer),
    certificateDer,
  }
}

function extension(extnID: string, critical: boolean, value: object): Extension {
  return new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
}

/** RFC 5280 §4.1.2.2: positive; and DER wants no needless leading zero. */
function positiveSerial(bytes: Uint8Array): ArrayBuffer {
  const serial = Uint8Array.from(bytes)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  return serial.buffer
}

/** RFC 7468 §3: lines of 64 characters. */
function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
