// @peculiar/x509 is built on tsyringe, which refuses to load without it.
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { RigError } from './error.ts'

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNING_ALGORITHM = { name: 'ECDSA', hash: 'SHA-256' } as const

/** Certificates begin a little in the past, for clocks that disagree, and end soon: they are for one run. */
const BACKDATED_MS = 5 * 60_000
const LIFETIME_MS = 30 * 24 * 3_600_000

export interface CertificateRequest {
  /** Common name, and the files' name: `<name>.crt` and `<name>.key`. */
  readonly name: string
  readonly usage: 'server' | 'client'
  /** Beside `localhost`. */
  readonly dnsNames?: readonly string[]
  /** Beside 127.0.0.1. */
  readonly ipAddresses?: readonly string[]
}

/** A certificate and its private key as PEM files, mode 0600. */
export interface IssuedCertificate {
  readonly certificatePath: string
  readonly privateKeyPath: string
}

/** A certificate authority of one run. Its private key stays in this process. */
export interface CertificateAuthority {
  readonly certificatePath: string
  readonly certificatePem: string
  readonly issue: (request: CertificateRequest) => Promise<IssuedCertificate>
}

/** Makes a new authority (ECDSA P-256). All files go to `directory`, which is made (0700) when missing. */
export async function certificateAuthority(options: {
  readonly directory: string
  readonly name?: string
}): Promise<CertificateAuthority> {
  const { directory, name = 'sealwright-lab-ca' } = options
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const keys = await generateKeys()
  const authority = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: distinguishedName(name),
    ...validity(),
    keys,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const certificatePem = `${authority.toString('pem')}\n`
  const certificatePath = await writePrivate(join(directory, `${name}.crt`), certificatePem)

  const issue = async (request: CertificateRequest): Promise<IssuedCertificate> => {
    const subjectKeys = await generateKeys()
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: distinguishedName(request.name),
      issuer: authority.subject,
      ...validity(),
      publicKey: subjectKeys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: SIGNING_ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([
          request.usage === 'server' ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth,
        ]),
        new SubjectAlternativeNameExtension([
          ...['localhost', ...(request.dnsNames ?? [])].map(value => ({ type: 'dns' as const, value })),
          ...['127.0.0.1', ...(request.ipAddresses ?? [])].map(value => ({ type: 'ip' as const, value })),
        ]),
        await AuthorityKeyIdentifierExtension.create(authority),
        await SubjectKeyIdentifierExtension.create(subjectKeys.publicKey),
      ],
    })
    const path = join(directory, request.name)
    return {
      certificatePath: await writePrivate(`${path}.crt`, `${certificate.toString('pem')}\n`),
      privateKeyPath: await writePrivate(`${path}.key`, await privateKeyPem(subjectKeys.privateKey)),
    }
  }
  return { certificatePath, certificatePem, issue }
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])
}

/** RFC 5280 §4.1.2.2: positive and at most 20 bytes. */
function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`
}

/** The name is put into RFC 4514 text unquoted, so it must be a plain word. */
function distinguishedName(name: string): string {
  if (!/^[\w.-]+$/.test(name)) throw new RigError('RIG_INVALID', `certificate name ${JSON.stringify(name)}`)
  return `CN=${name}`
}

function validity(): { notBefore: Date; notAfter: Date } {
  const nowMs = Date.now()
  return { notBefore: new Date(nowMs - BACKDATED_MS), notAfter: new Date(nowMs + LIFETIME_MS) }
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64')
  return `-----BEGIN PRIVATE KEY-----\n${base64.replace(/(.{64})(?=.)/g, '$1\n')}\n-----END PRIVATE KEY-----\n`
}

async function writePrivate(path: string, text: string): Promise<string> {
  await writeFile(path, text, { mode: 0o600 })
  return path
}
