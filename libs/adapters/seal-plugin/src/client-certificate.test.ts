import { generateKeyPairSync } from 'node:crypto'
import { parseClientCertificate } from './client-certificate.ts'
import { SealPluginError } from './errors.ts'
import { makeHostCertificate, readVectors } from './testing/test-host.ts'

interface Vectors {
  readonly clientCertificates: readonly { readonly name: string; readonly derHex: string }[]
}

async function openBaoCertificates(): Promise<Buffer[]> {
  const { clientCertificates } = (await readVectors('openbao-2.7.2.json')) as Vectors
  return clientCertificates.map(({ derHex }) => Buffer.from(derHex, 'hex'))
}

function codeOf(der: Buffer): string {
  try {
    parseClientCertificate(der)
    return 'accepted'
  } catch (error) {
    return error instanceof SealPluginError ? error.code : String(error)
  }
}

describe('parseClientCertificate', () => {
  it('takes the certificates that OpenBao made', async () => {
    const certificates = await openBaoCertificates()
    expect(certificates).toHaveLength(2)
    for (const der of certificates) {
      const { pem, fingerprint } = parseClientCertificate(der)
      expect(pem).toMatch(/^-----BEGIN CERTIFICATE-----\n/)
      expect(fingerprint).toMatch(/^[0-9a-f]{64}$/)
    }
  })

  it('refuses every truncation, and bytes behind the end', async () => {
    const [der = Buffer.alloc(0)] = await openBaoCertificates()
    for (let length = 0; length < der.length; length++) {
      expect(codeOf(der.subarray(0, length))).toBe('SEAL_PLUGIN_REQUEST_INVALID')
    }
    expect(codeOf(Buffer.concat([der, Buffer.of(0)]))).toBe('SEAL_PLUGIN_REQUEST_INVALID')
  })

  it('refuses two certificates at once', async () => {
    expect(codeOf(Buffer.concat(await openBaoCertificates()))).toBe('SEAL_PLUGIN_REQUEST_INVALID')
  })

  it('refuses what is no certificate', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' })
    expect(codeOf(publicKey.export({ type: 'spki', format: 'der' }))).toBe('SEAL_PLUGIN_REQUEST_INVALID')
    expect(codeOf(Buffer.alloc(600, 0x30))).toBe('SEAL_PLUGIN_REQUEST_INVALID')
  })

  it('refuses a certificate that is no authority', async () => {
    const { certificateDer } = await makeHostCertificate()
    // basicConstraints { cA TRUE } made unreadable: 01 01 ff to 01 01 00.
    const at = certificateDer.indexOf(Buffer.from('0603551d13', 'hex'))
    const flag = certificateDer.indexOf(Buffer.from('30030101ff', 'hex'), at)
    const changed = Buffer.from(certificateDer)
    changed[flag + 4] = 0
    expect(codeOf(certificateDer)).toBe('accepted')
    expect(codeOf(changed)).toBe('SEAL_PLUGIN_REQUEST_INVALID')
  })
})
