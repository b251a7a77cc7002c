import { existsSync } from 'node:fs'
import { chmod, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgramToEnd, type SealedNode } from '@sealwright/testing-cluster'
import {
  answerOf,
  BOOTSTRAP_EXIT,
  expectBootstraps,
  expectRefusal,
  expectSealClosed,
  expectStoreOpens,
  NO_SEAL_KEY,
  startBootstrap,
} from './bootstrap-run.ts'
import { statusOf, waitUntilOpen } from './node-health.ts'
import { endOf } from './node-life.ts'
import { newNode, type NewNode } from './served-node.ts'
import { expectEmpty, keyringPath, storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { proxyTpm, TPM_CC_Create, TPM_CC_Unseal } from './tpm-proxy.ts'
import { tpm2 } from './tpm-tools.ts'

const scope = testScope()
let fresh: NewNode
let node: SealedNode
let sealKeyPath: string

beforeEach(async () => {
  fresh = await newNode(scope)
  ;({ node, sealKeyPath } = fresh)
})

describe('a bootstrap that is run again', () => {
  it('says unchanged and leaves every byte of the store as it was, with the seal key and without', async () => {
    await expectBootstraps(node, sealKeyPath, 'created')
    const before = await storeEntries(node.storePath)
    expect(before).toMatchObject({ '.': { mode: '700' }, keyring: { mode: '600' } })

    await expectBootstraps(node, sealKeyPath, 'unchanged')
    await rm(sealKeyPath, { recursive: true })
    await expectStoreOpens(node)

    expect(await storeEntries(node.storePath)).toEqual(before)
  })

  it('says that a bootstrapped node without its TPM is not proven, and blocks no start with --allow-unproven', async () => {
    await expectBootstraps(node, sealKeyPath, 'created')
    const before = await storeEntries(node.storePath)
    await node.tpm.stop()

    await expectSealClosed(node, 'TPM_UNREACHABLE', sealKeyPath)
    await expectSealClosed(node, 'TPM_UNREACHABLE')
    for (const keyPath of [sealKeyPath, NO_SEAL_KEY]) {
      const { exitCode, stdout, stderr } = await node.bootstrap(keyPath, ['--allow-unproven'])
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
      expect(JSON.parse(stdout)).toMatchObject({ proven: false, seals: [{ state: 'fails', code: 'TPM_UNREACHABLE' }] })
    }
    expect(await inWords(sealKeyPath)).toMatch(
      /^NOT PROVEN to open: seal tpm \(TPM_UNREACHABLE\); keep the seal key: do not destroy it yet\n/,
    )
    expect(await storeEntries(node.storePath)).toEqual(before)

    await node.tpm.start()
    await expectStoreOpens(node)
  })

  it('leaves a running agent alone', async () => {
    await expectBootstraps(node, sealKeyPath, 'created')
    const before = await storeEntries(node.storePath)
    await node.startAgent()
    await waitUntilOpen(node)

    await expectBootstraps(node, sealKeyPath, 'unchanged')

    expect(await storeEntries(node.storePath)).toEqual(before)
    expect(await statusOf(node)).toMatchObject({ state: 'open', pid: node.agent().pid })
  })
})

/** What the program prints for people. */
async function inWords(keyPath: string): Promise<string> {
  const { stdout } = await runProgramToEnd('bootstrap-init', ['--config', node.configPath, '--seal-key', keyPath])
  return stdout
}

describe('a bootstrap of a new node', () => {
  it('waits for nobody: a TPM that is late is an error, and the next run goes well', async () => {
    await node.tpm.stop()

    expectRefusal(await node.bootstrap(sealKeyPath), 'TPM_UNREACHABLE', BOOTSTRAP_EXIT.seal)
    expectEmpty(await storeEntries(node.storePath))

    await node.tpm.start()
    await expectBootstraps(node, sealKeyPath, 'created')
  })

  it('writes no store when the TPM does not open what it has just wrapped, and names the cause', async () => {
    const proxy = await proxyTpm(scope)
    await node.writeConfig({ tpmSocketPath: proxy.socketPath })
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'cut' })

    const refusal = await node.bootstrap(sealKeyPath)

    expectRefusal(refusal, 'BOOTSTRAP_PROOF_FAILED', BOOTSTRAP_EXIT.seal)
    expect(refusal.stderr).toMatch(/the seal tpm does not open what it was just given \(TPM_GONE: /)
    expectEmpty(await storeEntries(node.storePath))

    proxy.letPass()
    await expectBootstraps(node, sealKeyPath, 'created')
  })

  it('stops at the deadline of a TPM that hangs, and at SIGTERM before that', async () => {
    const proxy = await proxyTpm(scope)
    await node.writeConfig({ tpmSocketPath: proxy.socketPath, seal: { deadlineMs: 300 } })
    proxy.setFate(() => ({ kind: 'swallow' }))
    expectRefusal(await node.bootstrap(sealKeyPath), 'TPM_TIMEOUT', BOOTSTRAP_EXIT.seal)

    await node.writeConfig({ tpmSocketPath: proxy.socketPath, seal: { deadlineMs: 60_000 } })
    const asked = proxy.countAll()
    const hanging = scope.use(await startBootstrap(fresh))
    await hanging.waitFor(() => proxy.countAll() > asked, { what: 'the TPM to be asked', timeoutMs: 60_000 })
    hanging.kill('SIGTERM')

    expect(await endOf(hanging)).toEqual({ code: 130, signal: null })
    expectEmpty(await storeEntries(node.storePath))

    proxy.letPass()
    await expectBootstraps(node, sealKeyPath, 'created')
  })

  it('needs a seal key, and says where it looked', async () => {
    const refusal = await node.bootstrap(NO_SEAL_KEY)

    expectRefusal(refusal, 'BOOTSTRAP_KEY_MISSING', BOOTSTRAP_EXIT.sealKey)
    expect(refusal.stderr).toContain(`no seal key at ${NO_SEAL_KEY}, and no keyring in ${node.storePath}`)
    expect(existsSync(node.storePath)).toBe(false)

    await expectBootstraps(node, sealKeyPath, 'created')
  })

  it('ends with one whole store when two bootstraps run at once', async () => {
    const runs = await Promise.all([node.bootstrap(sealKeyPath), node.bootstrap(sealKeyPath)])

    expect(runs.some(({ exitCode }) => exitCode === 0)).toBe(true)
    for (const run of runs) if (run.exitCode !== 0) expectRefusal(run, 'STORE_CHANGED', BOOTSTRAP_EXIT.store)

    await expectBootstraps(node, sealKeyPath, 'unchanged')
  })
})

describe('a TPM that is not the one that sealed', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    ['cleared', () => tpm2(node.tpm, 'clear', '-c', 'p'), 'TPM_CLEARED'],
    ['replaced', () => node.tpm.replace(), 'TPM_REPLACED'],
  ])(
    'gets a new record beside the old one when it was %s only with the seal key and --new-tpm, and the agent opens by it',
    async (_, change, code) => {
      await expectBootstraps(node, sealKeyPath, 'created')
      const before = await storeEntries(node.storePath)
      await change()
      await expectSealClosed(node, code)
      const refusal = await node.bootstrap(sealKeyPath)
      expectRefusal(refusal, code, BOOTSTRAP_EXIT.seal)
      expect(refusal.stderr).toContain('bootstrap-init with the seal key and --new-tpm')
      expectRefusal(await node.bootstrap(NO_SEAL_KEY, ['--new-tpm']), 'BOOTSTRAP_KEY_MISSING', BOOTSTRAP_EXIT.sealKey)
      expect(await storeEntries(node.storePath)).toEqual(before)

      await expectBootstraps(node, sealKeyPath, 'extended', ['--new-tpm'])

      const after = await storeEntries(node.storePath)
      expect(after['keyring.previous']?.hex).toBe(before.keyring?.hex)
      // What the old TPM sealed, found by its magic "SWTK", is still there.
      const [, record = ''] = /(5357544b.*)$/.exec(before.keyring?.hex ?? '') ?? []
      expect(record.length).toBeGreaterThan(200)
      expect(after.keyring?.hex).toContain(record.slice(0, 200))
      await expectBootstraps(node, sealKeyPath, 'unchanged')
      await node.startAgent()
      await waitUntilOpen(node)
    },
  )
})

describe('a stranger that answers in the place of the TPM', () => {
  it('is told nothing and gets nothing wrapped, however often it is met', async () => {
    const proxy = await proxyTpm(scope)
    await node.writeConfig({ tpmSocketPath: proxy.socketPath })
    await expectBootstraps(node, sealKeyPath, 'created')
    expect(proxy.countOf(TPM_CC_Create)).toBe(1)
    await node.tpm.replace()

    for (let run = 0; run < 3; run += 1) {
      expectRefusal(await node.bootstrap(sealKeyPath), 'TPM_REPLACED', BOOTSTRAP_EXIT.seal)
    }

    expect(proxy.countOf(TPM_CC_Create)).toBe(1)
  })
})

describe('a volume that gets group bits at every mount', () => {
  it('is refused, and taken with --tighten-modes', async () => {
    answerOf(await node.bootstrap(sealKeyPath))
    const writerLock = join(node.storePath, 'writer.lock')
    await chmod(node.storePath, 0o2770)
    await chmod(keyringPath(node), 0o660)
    await chmod(writerLock, 0o660)
    const before = await storeEntries(node.storePath)

    const refusal = await node.bootstrap(sealKeyPath)
    expectRefusal(refusal, 'STORE_UNSAFE_PERMISSIONS', BOOTSTRAP_EXIT.store)
    expect(refusal.stderr).toContain(`chmod 0700 '${node.storePath}'`)
    expect(await storeEntries(node.storePath)).toEqual(before)

    await expectBootstraps(node, sealKeyPath, 'unchanged', ['--tighten-modes'])
    expect(await storeEntries(node.storePath)).toEqual({
      '.': { ...before['.'], mode: '700' },
      keyring: { ...before.keyring, mode: '600' },
    })
    expect((await stat(writerLock)).mode & 0o777).toBe(0o600)
    await node.startAgent()
    await waitUntilOpen(node)
  })
})
