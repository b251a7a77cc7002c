import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { Secret } from '@sealwright/secret'
import {
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { type ReadSecret } from '../auth/auth-method.ts'
import {
  closeTransits,
  type Fields,
  KEY_NAME,
  prepareTransit,
  reads,
  rule,
  type SecondOpenBao,
  textAt,
  transitOf,
  USE_AND_READ,
  USE_ONLY,
} from '../testing/second-openbao.ts'
import { sealedKekAssociatedData } from './associated-data.ts'
import { TransitError } from './error.ts'
import { readTransitIdentity, transitMemberId } from './identity.ts'
import { transitMemberOf, transitSealMember } from './seal-member.ts'
import { decodeTransitSealedKek } from './sealed-kek.ts'
import { openTransit, type TransitAccess, type TransitOptions } from './transit-access.ts'

/** One real server for the whole file; each test has keys or tokens of its own. */
let folder: TemporaryFolder
let node: OpenBaoNode
let bao: SecondOpenBao

const call = { signal: new AbortController().signal }
const opening = { ...call, method: 'transit' } as const
const memberId = Uint8Array.from(randomBytes(16))
const freshKek = (): Secret => new Secret(Uint8Array.from(randomBytes(32)))

beforeAll(async () => {
  folder = await temporaryFolder()
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const authority = await certificateAuthority({ directory: folder.join('tls') })
  node = await startOpenBao({
    directory: folder.join('n1'),
    nodeId: 'n1',
    apiPort: await freePort(),
    clusterPort: await freePort(),
    tls: { ...(await authority.issue({ name: 'n1', usage: 'server' })), caPath: authority.certificatePath },
    seal: { kind: 'static', keyFile },
  })
  bao = await prepareTransit(node)
})

afterEach(closeTransits)

afterAll(async () => {
  await node.stop()
  await folder.remove()
})

/** A way to the key with a token of this policy. */
async function access(policy = USE_ONLY, options: Partial<TransitOptions> = {}): Promise<TransitAccess> {
  const token = await bao.token([policy])
  return transitOf(node, { auth: { method: 'token', readToken: reads(token) }, ...options })
}

/** A key of its own for a test that harms it. */
async function newKey(name: string, type = 'aes256-gcm96', options: object = {}): Promise<string> {
  await bao.ask('POST', `transit/keys/${name}`, { type, ...options })
  return name
}

async function failureOf(promise: Promise<unknown>): Promise<TransitError> {
  const outcome = await promise.then(
    value => value,
    (error: unknown) => error,
  )
  if (outcome instanceof TransitError) return outcome
  throw new Error(`no TransitError: ${inspect(outcome)}`)
}

const codeOf = async (promise: Promise<unknown>): Promise<string> => (await failureOf(promise)).code

describe('a member with a transit key', () => {
  it.each([USE_ONLY, USE_AND_READ])('opens what it sealed, with the policy %s', async policy => {
    const member = transitSealMember({ access: await access(policy), memberId })
    const kek = freshKek()
    const sealed = await member.sealKek(kek, call)
    expect((await member.unsealKek(sealed, opening)).equals(kek)).toBe(true)
    expect(member).toMatchObject({ sealType: 'transit', method: 'transit', memberId })
    expect(decodeTransitSealedKek(sealed)).toMatchObject({ memberId, ciphertext: { keyVersion: 1 } })
    expect(transitMemberOf(sealed)).toEqual(memberId)
    expect(sealed.byteLength).toBe(27 + 89)
  })

  it.each(['chacha20-poly1305', 'xchacha20-poly1305'])('works with a key of type %s', async type => {
    const member = transitSealMember({
      access: await access(USE_AND_READ, { keyName: await newKey(type, type) }),
      memberId,
    })
    const kek = freshKek()
    expect((await member.unsealKek(await member.sealKek(kek, call), opening)).equals(kek)).toBe(true)
  })

  it('seals by the newest version or by the one that is asked for, and old ciphertexts open after a rotation', async () => {
    const keyName = await newKey('rotated')
    const reading = await access(USE_AND_READ, { keyName })
    const blind = await access(USE_ONLY, { keyName })
    const kek = freshKek()
    const sealed = [await transitSealMember({ access: reading, memberId }).sealKek(kek, call)]
    await bao.ask('POST', `transit/keys/${keyName}/rotate`)
    for (const options of [{ access: reading }, { access: blind }, { access: blind, keyVersion: 1 }]) {
      sealed.push(await transitSealMember({ ...options, memberId }).sealKek(kek, call))
    }
    expect(sealed.map(bytes => decodeTransitSealedKek(bytes).ciphertext.keyVersion)).toEqual([1, 2, 2, 1])
    for (const bytes of sealed) {
      expect((await transitSealMember({ access: blind, memberId }).unsealKek(bytes, opening)).equals(kek)).toBe(true)
    }
  })

  it('refuses before it asks: another member, another method, a container that is none', async () => {
    const nobody = transitOf(
      { ...node, apiAddress: 'https://127.0.0.1:9' },
      { auth: { method: 'token', readToken: reads('t') } },
    )
    const sealed = await transitSealMember({ access: await access(), memberId }).sealKek(freshKek(), call)
    const other = transitSealMember({ access: nobody, memberId: new Uint8Array(16) })
    expect(await codeOf(other.unsealKek(sealed, opening))).toBe('TRANSIT_MEMBER_MISMATCH')
    const same = transitSealMember({ access: nobody, memberId })
    expect(await codeOf(same.unsealKek(sealed, { ...call, method: 'pkcs11-aes-gcm' }))).toBe('TRANSIT_METHOD_MISMATCH')
    expect(await codeOf(same.unsealKek(sealed.subarray(1), opening))).toBe('TRANSIT_BLOB_MALFORMED')
    expect(await codeOf(same.sealKek(new Secret(new Uint8Array(31)), call))).toBe('TRANSIT_OPTIONS_INVALID')
    expect(() => transitSealMember({ access: nobody, memberId: new Uint8Array(15) })).toThrow(TransitError)
  })

  it('has every changed bit of a ciphertext refused, here or there', async () => {
    const member = transitSealMember({ access: await access(), memberId })
    const sealed = await member.sealKek(freshKek(), call)
    const flips = Array.from({ length: (sealed.byteLength - 27) * 8 }, (_, bit) => {
      const flipped = Uint8Array.from(sealed)
      flipped[27 + (bit >> 3)] = (flipped[27 + (bit >> 3)] ?? 0) ^ (1 << (bit & 7))
      return flipped
    })
    const codes = new Set<string>()
    for (const flipped of flips) codes.add(await codeOf(member.unsealKek(flipped, opening)))
    expect([...codes].sort()).toEqual(['TRANSIT_BLOB_MALFORMED', 'TRANSIT_CIPHERTEXT_REFUSED'])
  })

  it('binds the member id: a container that is given to another member is refused by the key', async () => {
    const sealed = await transitSealMember({ access: await access(), memberId }).sealKek(freshKek(), call)
    const forged = Uint8Array.from(sealed)
    forged.set(new Uint8Array(16), 5)
    const other = transitSealMember({ access: await access(), memberId: new Uint8Array(16) })
    const failure = await failureOf(other.unsealKek(forged, opening))
    expect(failure).toMatchObject({ code: 'TRANSIT_CIPHERTEXT_REFUSED', kind: 'permanent' })
    expect(failure.message).toContain('open by another seal')
  })

  it('refuses a ciphertext of the same key that was made for something else', async () => {
    const ciphertext = await (await access()).encrypt(freshKek(), { ...call, associatedData: new Uint8Array() })
    const associatedData = sealedKekAssociatedData(memberId)
    expect(await codeOf((await access()).decrypt(ciphertext, { ...call, associatedData }))).toBe(
      'TRANSIT_CIPHERTEXT_REFUSED',
    )
  })

  it('does not take a key of another length for a KEK', async () => {
    const kek = new Secret(new Uint8Array(31))
    const associatedData = sealedKekAssociatedData(memberId)
    const { text } = await (await access()).encrypt(kek, { ...call, associatedData })
    const member = transitSealMember({ access: await access(), memberId })
    const sealed = await member.sealKek(freshKek(), call)
    const shorter = Uint8Array.from([...sealed.subarray(0, 25), 0, text.length, ...Buffer.from(text)])
    expect(await codeOf(member.unsealKek(shorter, opening))).toBe('TRANSIT_RESPONSE_MALFORMED')
  })
})

describe('the example in the README', () => {
  interface Given {
    readonly address: string
    readonly caFile: string
    readonly readRoleId: ReadSecret
    readonly readSecretId: ReadSecret
    readonly kek: Secret
    readonly signal: AbortSignal
  }

  async function example({ address, caFile, readRoleId, readSecretId, kek, signal }: Given): Promise<Secret> {
    // README
    const transit = openTransit({
      address,
      trust: { kind: 'ca-file', path: caFile },
      keyName: 'sealwright',
      auth: { method: 'approle', readRoleId, readSecretId },
    })
    const { memberId } = await readTransitIdentity(transit, { signal }) // once, at enrolment
    const member = transitSealMember({ access: transit, memberId })
    const sealed = await member.sealKek(kek, { signal })
    const opened = await member.unsealKek(sealed, { signal, method: 'transit' })
    await transit.close()
    // end
    return opened
  }

  it('is the code of this test', async () => {
    const readme = await readFile(join(import.meta.dirname, '../../README.md'), 'utf8')
    const own = /^ {4}\/\/ README\n(.*?)^ {4}\/\/ end$/ms.exec(await readFile(import.meta.filename, 'utf8'))?.[1]
    expect(readme).toContain(`\`\`\`ts\n${own?.replace(/^ {4}/gm, '') ?? 'nothing'}\`\`\``)
  })

  it('works', async () => {
    await bao.ask('POST', 'sys/auth/approle', { type: 'approle' })
    const role = { token_policies: [USE_ONLY], token_no_default_policy: true, token_ttl: '60s' }
    await bao.ask('POST', 'auth/approle/role/readme', role)
    const read = async (method: 'GET' | 'POST', name: 'role_id' | 'secret_id', path: string): Promise<string> =>
      textAt((await bao.ask(method, `auth/approle/role/readme/${path}`)).data as Fields, name)
    const kek = freshKek()
    const given = {
      address: node.apiAddress,
      caFile: node.caPath ?? '',
      readRoleId: reads(await read('GET', 'role_id', 'role-id')),
      readSecretId: reads(await read('POST', 'secret_id', 'secret-id')),
    }
    expect((await example({ ...given, kek, ...call })).equals(kek)).toBe(true)
  })
})

describe('the identity of a transit key', () => {
  it('is the same for whoever asks, without a token, and tells keys apart', async () => {
    const nobody = { auth: { method: 'token', readToken: reads('s.none') } } as const
    const identity = await readTransitIdentity(transitOf(node, nobody), call)
    const status = await bao.ask('GET', 'sys/seal-status')
    expect(identity).toMatchObject({
      clusterId: status.cluster_id,
      namespace: '',
      mountPath: 'transit',
      keyName: KEY_NAME,
    })
    expect(await readTransitIdentity(await access(), call)).toEqual(identity)
    expect(transitMemberId(identity)).toEqual(identity.memberId)
    const other = await readTransitIdentity(transitOf(node, { ...nobody, keyName: 'other' }), call)
    expect(other.memberId).not.toEqual(identity.memberId)
  })

  it('is not needed to open: a key that was restored under another name opens with the id of the record', async () => {
    const keyName = await newKey('moved-from', 'aes256-gcm96', { exportable: true, allow_plaintext_backup: true })
    const kek = freshKek()
    const sealed = await transitSealMember({ access: await access(USE_ONLY, { keyName }), memberId }).sealKek(kek, call)
    const backup = (await bao.ask('GET', `transit/backup/${keyName}`)).data as Fields
    await bao.ask('POST', 'transit/restore/moved-to', { backup: backup.backup })
    const moved = await access(USE_ONLY, { keyName: 'moved-to' })
    expect((await transitSealMember({ access: moved, memberId }).unsealKek(sealed, opening)).equals(kek)).toBe(true)
  })
})

describe('a transit key that cannot be used', () => {
  async function sealedBy(
    keyName: string,
  ): Promise<{ sealed: Uint8Array; member: ReturnType<typeof transitSealMember> }> {
    const member = transitSealMember({ access: await access(USE_ONLY, { keyName }), memberId })
    return { member, sealed: await member.sealKek(freshKek(), call) }
  }

  it('is missing after it was deleted', async () => {
    const { member, sealed } = await sealedBy(await newKey('deleted'))
    await bao.ask('POST', 'transit/keys/deleted/config', { deletion_allowed: true })
    await bao.ask('DELETE', 'transit/keys/deleted')
    expect(await failureOf(member.unsealKek(sealed, opening))).toMatchObject({
      code: 'TRANSIT_KEY_MISSING',
      kind: 'permanent',
    })
    const reading = await access(USE_AND_READ, { keyName: 'deleted' })
    expect(await codeOf(reading.readKey(call))).toBe('TRANSIT_KEY_MISSING')
    expect(await codeOf(reading.encrypt(freshKek(), { ...call, associatedData: memberId }))).toBe('TRANSIT_KEY_MISSING')
  })

  it('is another one after it was deleted and made again under the same name', async () => {
    const { member, sealed } = await sealedBy(await newKey('made-again'))
    await bao.ask('POST', 'transit/keys/made-again/config', { deletion_allowed: true })
    await bao.ask('DELETE', 'transit/keys/made-again')
    await newKey('made-again')
    expect(await codeOf(member.unsealKek(sealed, opening))).toBe('TRANSIT_CIPHERTEXT_REFUSED')
  })

  it('refuses a ciphertext of a version that it does not have', async () => {
    const { sealed } = await sealedBy(await newKey('two-versions'))
    await bao.ask('POST', 'transit/keys/two-versions/rotate')
    const { sealed: newer } = await sealedBy('two-versions')
    const member = transitSealMember({ access: await access(), memberId })
    expect(await codeOf(member.unsealKek(sealed, opening))).toBe('TRANSIT_CIPHERTEXT_REFUSED')
    expect(await codeOf(member.unsealKek(newer, opening))).toBe('TRANSIT_CIPHERTEXT_REFUSED')
  })

  it('says so while it is soft-deleted, and opens again once it is restored', async () => {
    const { member, sealed } = await sealedBy(await newKey('soft'))
    await bao.ask('POST', 'transit/keys/soft/config', { deletion_allowed: true })
    await bao.ask('DELETE', 'transit/keys/soft/soft-delete')
    expect(await codeOf(member.unsealKek(sealed, opening))).toBe('TRANSIT_KEY_SOFT_DELETED')
    const reading = await access(USE_AND_READ, { keyName: 'soft' })
    expect(await codeOf(reading.encrypt(freshKek(), { ...call, associatedData: memberId }))).toBe(
      'TRANSIT_KEY_SOFT_DELETED',
    )
    await bao.ask('POST', 'transit/keys/soft/soft-delete-restore')
    expect((await member.unsealKek(sealed, opening)).byteLength).toBe(32)
  })

  it('says that a version is below min_decryption_version, and opens again once that is lowered', async () => {
    const { member, sealed } = await sealedBy(await newKey('raised'))
    await bao.ask('POST', 'transit/keys/raised/rotate')
    await bao.ask('POST', 'transit/keys/raised/config', { min_decryption_version: 2 })
    const failure = await failureOf(member.unsealKek(sealed, opening))
    expect(failure).toMatchObject({ code: 'TRANSIT_KEY_VERSION', kind: 'permanent' })
    expect(failure.message).toContain('lower min_decryption_version of raised')
    await bao.ask('POST', 'transit/keys/raised/config', { min_decryption_version: 1 })
    expect((await member.unsealKek(sealed, opening)).byteLength).toBe(32)
  })

  it.each([
    ['rsa-2048', {}],
    ['aes256-gcm96', { derived: true }],
  ])('is unsuitable if it is of type %s with %j, whether it can be read or not', async (type, options) => {
    const keyName = await newKey(`unsuitable-${type}`, type, options)
    for (const policy of [USE_ONLY, USE_AND_READ]) {
      const member = transitSealMember({ access: await access(policy, { keyName }), memberId })
      expect(await codeOf(member.sealKek(freshKek(), call))).toBe('TRANSIT_KEY_UNSUITABLE')
    }
  })

  it('is unsuitable with 128 bits, where it can be read', async () => {
    const keyName = await newKey('short', 'aes128-gcm96')
    const member = transitSealMember({ access: await access(USE_AND_READ, { keyName }), memberId })
    expect(await codeOf(member.sealKek(freshKek(), call))).toBe('TRANSIT_KEY_UNSUITABLE')
  })

  it('is not made by a seal that names a missing one', async () => {
    await bao.ask('PUT', 'sys/policies/acl/may-create', {
      policy: rule('transit/*', 'create') + rule('transit/keys/+', 'read'),
    })
    const creating = await access('may-create', { keyName: 'typo' })
    expect(await codeOf(creating.encrypt(freshKek(), { ...call, associatedData: memberId }))).toBe(
      'TRANSIT_KEY_MISSING',
    )
    await expect(bao.ask('GET', 'transit/keys/typo')).rejects.toThrow('404')
  })

  it('refuses a version that is not there yet', async () => {
    const member = transitSealMember({ access: await access(), memberId, keyVersion: 9 })
    expect(await codeOf(member.sealKek(freshKek(), call))).toBe('TRANSIT_REQUEST_REFUSED')
  })
})

describe('a place that is not there', () => {
  it('is told: mount and namespace', async () => {
    await bao.ask('PUT', 'sys/policies/acl/anywhere', { policy: rule('nowhere/*', 'update') })
    const use = async (options: Partial<TransitOptions>): Promise<TransitError> =>
      await failureOf(
        (await access('anywhere', options)).decrypt(
          { text: 'vault:v1:AAAA', keyVersion: 1 },
          { ...call, associatedData: memberId },
        ),
      )
    expect(await use({ mountPath: 'nowhere' })).toMatchObject({ code: 'TRANSIT_MOUNT_MISSING', kind: 'permanent' })
    expect(await use({ namespace: 'nowhere' })).toMatchObject({ code: 'TRANSIT_NAMESPACE_MISSING', kind: 'permanent' })
  })

  it('is refused without a question if it cannot be', async () => {
    const auth = { method: 'token', readToken: reads('t') } as const
    for (const options of [{ keyName: '../sys/seal' }, { mountPath: '/' }, { apiAddress: 'http://10.0.0.1' }]) {
      const open = (): TransitAccess => transitOf({ ...node, ...options }, { auth, ...options })
      expect(open).toThrow(expect.objectContaining({ code: 'TRANSIT_OPTIONS_INVALID' }) as Error)
    }
    const spaced = transitOf(node, { auth, namespace: 'a b' })
    expect(await codeOf(spaced.readKey(call))).toBe('TRANSIT_OPTIONS_INVALID')
  })

  it('works in a namespace', async () => {
    await bao.ask('POST', 'sys/namespaces/team')
    await bao.ask('POST', 'team/sys/mounts/deep/transit', { type: 'transit' })
    await bao.ask('POST', 'team/deep/transit/keys/k')
    const token = await bao.token(['root'])
    const options = {
      auth: { method: 'token', readToken: reads(token) },
      namespace: 'team',
      // As OpenBao itself writes it.
      mountPath: 'deep/transit/',
      keyName: 'k',
    } as const
    const member = transitSealMember({ access: transitOf(node, options), memberId })
    const kek = freshKek()
    expect((await member.unsealKek(await member.sealKek(kek, call), opening)).equals(kek)).toBe(true)
  })
})

it('is held back by a rate limit quota, and told so', async () => {
  const member = transitSealMember({ access: await access(), memberId })
  const sealed = await member.sealKek(freshKek(), call)
  await bao.ask('POST', 'sys/quotas/rate-limit/slow', { rate: 0.01, path: `transit/` })
  try {
    const codes = [
      await outcomeOf(member.unsealKek(sealed, opening)),
      await outcomeOf(member.unsealKek(sealed, opening)),
    ]
    expect(codes).toEqual(['opened', 'TRANSIT_RATE_LIMITED'])
  } finally {
    await bao.ask('DELETE', 'sys/quotas/rate-limit/slow')
  }
  expect(await outcomeOf(member.unsealKek(sealed, opening))).toBe('opened')
})

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'opened',
    (error: unknown) => (error instanceof TransitError ? error.code : 'unknown'),
  )
}
