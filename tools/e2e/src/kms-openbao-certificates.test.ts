import { copyFile } from 'node:fs/promises'
import { KMS_KEY, startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { type CertificateAuthority, certificateAuthority, type IssuedCertificate } from '@sealwright/testing-rig'
import { type KmsSubject, REFUSED, startSubject } from './kms-subject.ts'
import { sharedScope } from './test-scope.ts'

// One plugin, which is never restarted, and an OpenBao that comes back with one certificate after another.
const scope = sharedScope()

const DAY_MS = 24 * 3_600_000

let bao: TransitOpenBao
let authority: CertificateAuthority
let subject: KmsSubject
let caFile: string

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao'), withTls: true }))
  if (bao.authority === undefined) throw new Error('it has no TLS')
  authority = bao.authority
  caFile = scope.folder.join('ca.pem')
  await copyFile(authority.certificatePath, caFile)
  const token = await bao.writeToken()
  subject = await startSubject(scope, {
    backend: bao.backend({ tls: { caFile } }),
    forbidden: [KMS_KEY, new URL(bao.node.apiAddress).host, token, bao.tokenFile, caFile, 'transit/'],
  })
}, 120_000)

it('goes on with a certificate that was renewed, by another key of the same authority', async () => {
  await serve(await authority.issue({ name: 'renewed', usage: 'server' }))
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
})

it('refuses one of an unknown authority, and goes on when the old one is put back', async () => {
  const other = await certificateAuthority({ directory: scope.folder.join('other') })
  await serve(await other.issue({ name: 'stranger', usage: 'server' }), other)
  await isRefused()
  await serve(await authority.issue({ name: 'back', usage: 'server' }))
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
})

it.each([
  ['has expired', -60 * DAY_MS],
  ['is not valid yet', 60 * DAY_MS],
])('refuses one that %s, and goes on with a good one', async (_, offsetMs) => {
  await serve(await issueAt('untimely', offsetMs), authority)
  await isRefused()
  await serve(await authority.issue({ name: 'timely', usage: 'server' }))
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
})

it('takes another authority as soon as its file holds that, and hears of no restart', async () => {
  const next = await certificateAuthority({ directory: scope.folder.join('next') })
  await serve(await next.issue({ name: 'moved', usage: 'server' }), next)
  await isRefused()
  await copyFile(next.certificatePath, caFile)
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
})

async function isRefused(): Promise<void> {
  await subject.waitForDecrypt(`UNAVAILABLE: ${REFUSED}`)
  expect(await subject.encrypt()).toBe(`UNAVAILABLE: ${REFUSED}`)
  await subject.waitUntilIll(`KMS_BACKEND_REFUSED: ${REFUSED}`)
}

/** Restarts OpenBao with another certificate. The test sees by the plugin when it is there: nobody else may trust it. */
async function serve(issued: IssuedCertificate, { certificatePath: caPath } = authority): Promise<void> {
  await bao.node.restart({ tls: { ...issued, caPath }, until: 'nothing' })
}

/** One whose time lies this far from now. */
async function issueAt(name: string, offsetMs: number): Promise<IssuedCertificate> {
  const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + offsetMs)
  try {
    return await authority.issue({ name, usage: 'server' })
  } finally {
    clock.mockRestore()
  }
}
