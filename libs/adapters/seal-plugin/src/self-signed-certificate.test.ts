import { id_kp_clientAuth, id_kp_serverAuth } from '@peculiar/asn1-x509'
import fc from 'fast-check'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { makeSelfSignedCertificate } from './self-signed-certificate.ts'

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const HOUR_MS = 3_600_000

function make(serial: Uint8Array, changes: { curve?: 'P-256' | 'P-521'; purpose?: string } = {}) {
  return makeSelfSignedCertificate({
    curve: 'P-256',
    purpose: id_kp_serverAuth,
    notBeforeMs: NOW_MS - HOUR_MS,
    notAfterMs: NOW_MS + HOUR_MS,
    serial,
    ...changes,
  })
}

describe('makeSelfSignedCertificate', () => {
  it('holds all that a go-plugin host looks at', async () => {
    const { certificateDer, certificatePem, privateKeyPem } = await make(Buffer.alloc(16, 7))
    const certificate = new X509Certificate(certificateDer)
    expect(certificate.subject).toBe('CN=localhost')
    expect(certificate.subjectAltName).toBe('DNS:localhost')
    expect(certificate.keyUsage).toEqual([id_kp_serverAuth])
    expect(certificate.ca).toBe(true)
    expect(certificate.validFromDate).toEqual(new Date(NOW_MS - HOUR_MS))
    expect(certificate.validToDate).toEqual(new Date(NOW_MS + HOUR_MS))
    expect(certificate.checkIssued(certificate)).toBe(true)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.checkPrivateKey(createPrivateKey(privateKeyPem))).toBe(true)
    expect(new X509Certificate(certificatePem).raw.equals(certificateDer)).toBe(true)
  })

  it('has a key pair of its own each time', async () => {
    const [one, two] = await Promise.all([make(Buffer.alloc(16, 7)), make(Buffer.alloc(16, 7))])
    expect(one.privateKeyPem).not.toBe(two.privateKeyPem)
  })

  it('has a positive serial of sixteen bytes, whatever the random bytes are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 16, maxLength: 16 }), async serial => {
        const { serialNumber } = new X509Certificate((await make(serial)).certificateDer)
        expect(serialNumber).toHaveLength(32)
        expect(serialNumber.slice(2)).toBe(Buffer.from(serial.subarray(1)).toString('hex').toUpperCase())
      }),
      { numRuns: 20 },
    )
  })

  it('can be one for a client, with the curve of OpenBao', async () => {
    const made = await make(Buffer.alloc(16, 7), { curve: 'P-521', purpose: id_kp_clientAuth })
    const certificate = new X509Certificate(made.certificateDer)
    expect(certificate.keyUsage).toEqual([id_kp_clientAuth])
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'secp521r1' })
    expect(certificate.verify(certificate.publicKey)).toBe(true)
  })
})
