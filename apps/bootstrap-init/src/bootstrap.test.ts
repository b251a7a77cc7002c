import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { KEY_BYTES } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { TpmError } from '@sealwright/tpm'
import { type BootstrapReport } from './bootstrap.ts'
import { fakeSeal, type FakeSeal } from './testing/fake-seal.ts'
import {
  absent,
  fails,
  failure,
  opens,
  refused,
  testNode,
  type TestNode,
  recordedGenerations,
} from './testing/test-node.ts'

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

describe('a new node', () => {
  it('gets a store that was opened back before it counted', async () => {
    const report = await node.run()
    expect(report).toMatchObject({ result: 'created', seals: [opens] })
    expect(node.seal.asked()).toEqual({ toEnrol: 1, toOpen: 1 })
    expect(await node.storedKeyring()).toEqual(report.keyring)
    expect(report.keyring.members).toMatchObject([{ label: 'node-1' }])
  })

  it('gets no store when what was wrapped does not open, and the error names the cause', async () => {
    node.seal.failOpeningWith(new TpmError('TPM_GONE', 'the connection broke'))
    await expect(node.run()).rejects.toEqual(
      failure('BOOTSTRAP_PROOF_FAILED', /seal tpm does not open .*\(TPM_GONE: the connection broke\); the store is as/),
    )
    expect(Object.keys((await node.storeNow()) ?? {})).toEqual(['agent.lock', 'writer.lock'])
    node.seal.failOpeningWith(undefined)
    expect(await node.run()).toMatchObject({ result: 'created', seals: [opens] })
  })

  it('needs its TPM: one that is late is an error, and the next run goes well', async () => {
    node.seal.failWith(absent)
    await expect(node.run()).rejects.toEqual(failure('TPM_UNREACHABLE'))
    expect(await node.storeNow()).toEqual({})
    node.seal.failWith(undefined)
    expect(await node.run()).toMatchObject({ result: 'created' })
  })

  it('needs all its seals: with one missing nothing is written', async () => {
    const late = fakeSeal({ name: 'late', priority: 2 })
    late.failWith(absent)
    await expect(node.run({ seals: [node.seal, late] })).rejects.toEqual(failure('TPM_UNREACHABLE'))
    expect(await node.storeNow()).toEqual({})
    late.failWith(undefined)
    const report = await node.run({ seals: [node.seal, late] })
    expect(report).toMatchObject({ result: 'created', seals: [opens, { name: 'late', state: 'opens' }] })
    expect(report.keyring.records).toHaveLength(2)
  })

  it('needs a seal key', async () => {
    const missing = failure(
      'BOOTSTRAP_KEY_MISSING',
      /no seal key at \/run\/secrets\/bootstrap, and no keyring in .*seal:/,
    )
    await expect(node.run({ handedKey: undefined })).rejects.toEqual(missing)
    expect(await node.storeNow()).toBeUndefined()
    await mkdir(node.storePath, { mode: 0o700 })
    await expect(node.run({ handedKey: undefined })).rejects.toEqual(missing)
    expect(await node.storeNow()).toEqual({})
  })

  it('is left empty by a signal during the proof', async () => {
    const controller = new AbortController()
    node.seal.failOpeningWith(new TpmError('TPM_CANCELLED', 'cancelled'))
    const stopping: FakeSeal = {
      ...node.seal,
      withRecordedMember: (keyring, signal, use) => {
        controller.abort(new Error('stopped by SIGTERM'))
        return node.seal.withRecordedMember(keyring, signal, use)
      },
    }
    await expect(node.run({ seals: [stopping], signal: controller.signal })).rejects.toThrow('stopped by SIGTERM')
    expect(Object.keys((await node.storeNow()) ?? {})).toEqual(['agent.lock', 'writer.lock'])
  })

  it('ends with one whole store when two bootstraps meet', async () => {
    const results = await Promise.allSettled([node.run(), node.run()])
    expect(results.some(({ status }) => status === 'fulfilled')).toBe(true)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toEqual(failure('STORE_CHANGED'))
    }
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })
})

describe('a node that was bootstrapped before', () => {
  it('is not touched by a second run, with the key or without', async () => {
    await node.run()
    const before = await node.storeNow()
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect(await node.run({ handedKey: undefined })).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect(await node.storeNow()).toEqual(before)
  })

  it('refuses another key before any TPM is asked, and stays as it was', async () => {
    await node.run()
    const before = await node.storeNow()
    const asked = node.seal.asked()
    const other = new Secret(Uint8Array.from(randomBytes(KEY_BYTES)))
    const stored = (await node.storedKeyring()).generations[0]?.keyId
    await expect(node.run({ handedKey: { sealKey: other, keyId: undefined } })).rejects.toEqual(
      failure(
        'KEYRING_OTHER_KEY',
        new RegExp(
          `at /run/secrets/bootstrap is not that of the store ${node.storePath}, which is called ${stored}[.]`,
        ),
      ),
    )
    node.seal.useDevice('second')
    await expect(node.run({ handedKey: { sealKey: other, keyId: undefined } })).rejects.toEqual(
      failure('KEYRING_OTHER_KEY'),
    )
    expect(node.seal.asked()).toEqual(asked)
    expect(await node.storeNow()).toEqual(before)
  })

  it('refuses the zero key', async () => {
    const zeros = new Secret(new Uint8Array(KEY_BYTES))
    await expect(node.run({ handedKey: { sealKey: zeros, keyId: undefined } })).rejects.toEqual(
      failure('KEYRING_SEAL_KEY_INVALID'),
    )
    expect(await node.storeNow()).toEqual({})
  })

  it('may start without its TPM, which is asked only once', async () => {
    await node.run()
    const before = await node.storeNow()
    const asked = node.seal.asked()
    node.seal.failWith(absent)
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [fails('TPM_UNREACHABLE')] })
    expect(node.seal.asked()).toEqual({ toEnrol: asked.toEnrol + 1, toOpen: asked.toOpen })
    expect(await node.run({ handedKey: undefined })).toMatchObject({
      result: 'unchanged',
      seals: [fails('TPM_UNREACHABLE')],
    })
    expect(await node.storeNow()).toEqual(before)
    node.seal.failWith(undefined)
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('is told, without a change, when its TPM has a trouble that will not pass', async () => {
    await node.run()
    const before = await node.storeNow()
    node.seal.failWith(refused)
    await expect(node.run()).rejects.toEqual(failure('TPM_RC'))
    expect(await node.storeNow()).toEqual(before)
  })

  it('gets a record for a seal that its configuration names since then', async () => {
    await node.run()
    const added = fakeSeal({ name: 'added', priority: 2 })
    added.failWith(absent)
    expect(await node.run({ seals: [node.seal, added] })).toMatchObject({
      result: 'unchanged',
      seals: [opens, fails('TPM_UNREACHABLE', 'added')],
    })
    added.failWith(undefined)
    const report = await node.run({ seals: [node.seal, added] })
    expect(report).toMatchObject({ result: 'extended', seals: [opens, { name: 'added', state: 'opens' }] })
    expect(report.keyring.seals).toHaveLength(2)
  })

  it('gets a record of the current generation after a rotation, whichever key it is handed', async () => {
    await node.run()
    const nextKey = await node.rotate()
    const report = await node.run()
    expect(report).toMatchObject({ result: 'extended', seals: [opens] })
    expect(recordedGenerations(report.keyring)).toEqual([1, 2])
    expect(await node.run({ handedKey: { sealKey: nextKey, keyId: undefined } })).toMatchObject({
      result: 'unchanged',
      seals: [opens],
    })
  })
})

describe('the name of the key', () => {
  const named = (keyId: string | undefined): Promise<BootstrapReport> =>
    node.run({ handedKey: { sealKey: node.sealKey, keyId } })

  it('is kept from the first run; a run without one changes nothing', async () => {
    expect((await named('bootstrap-1')).keyring.generations).toMatchObject([{ keyId: 'bootstrap-1' }])
    expect(await named('bootstrap-1')).toMatchObject({ result: 'unchanged' })
    expect(await named(undefined)).toMatchObject({ result: 'unchanged' })
  })

  it('cannot change: one key must not go by two names', async () => {
    await named('bootstrap-1')
    const before = await node.storeNow()
    await expect(named('bootstrap-2')).rejects.toEqual(
      failure('BOOTSTRAP_KEY_ID', /stored as bootstrap-1.*bootstrap-2/),
    )
    expect(await node.storeNow()).toEqual(before)
  })
})
