import { execFileSync } from 'node:child_process'
import { chmod, chown, cp, mkdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSealedNode, type SealedNode } from '@sealwright/testing-cluster'
import { freePort, type OpenBaoNode, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { writeSealKey } from './seal-key.ts'
import { mountSmallDisk } from './small-disk.ts'
import { answerOf, expectOpens, expectRefusal, NO_SEAL_KEY, storeEntries } from './store-files.ts'
import { boot, cutPower, expectOpensByItself, expectSealed, openNode, statusOf, waitForAgentLine } from './tpm-node.ts'

const STORE_EXIT = 6
const opens = { name: 'tpm', state: 'opens' }

/** A user that owns nothing here. */
const NOBODY = 65_534

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

/** Waits until the agent has the keyring open, without asking the TPM for it again. */
async function waitUntilOpen(node: SealedNode): Promise<void> {
  await node.waitForLog('keyring opened')
  expect(await statusOf(node)).toMatchObject({ exitCode: 0, verdict: { kind: 'ready' }, state: 'open' })
}

/** Waits until the agent, which runs and answers, says that its seal fails by this code. */
async function waitUntilFailing(node: SealedNode, code: string): Promise<void> {
  await waitForAgentLine(node, { msg: 'seal failed', seal: 'tpm', code })
  await waitForAgentLine(node, { msg: 'agent serves' })
  expect(await statusOf(node, '--no-probe')).toMatchObject({
    exitCode: 2,
    verdict: { kind: 'not-ready' },
    state: 'sealed',
    seals: [{ health: { state: 'failing', code, retrying: true } }],
  })
}

describe('a seal store that is missing', () => {
  const INITIALISE = { method: 'POST', path: 'sys/init', body: { recovery_shares: 1, recovery_threshold: 1 } } as const
  let apiPort: number

  async function newNode(): Promise<SealedNode> {
    apiPort = await freePort()
    const openbao = { address: `http://127.0.0.1:${apiPort}` }
    return await createSealedNode({ name: 'solo', directory: folder.path, config: { openbao } })
  }

  /** Starts agent and OpenBao of a node that has no seal key yet. */
  async function startUninitialised(node: SealedNode): Promise<OpenBaoNode> {
    // Puts the connector in place all the same.
    expectRefusal(await node.bootstrap(NO_SEAL_KEY), 'BOOTSTRAP_KEY_MISSING', 3)
    await node.startAgent()
    return await node.startOpenBao({ apiPort, clusterPort: await freePort(), until: 'uninitialised' })
  }

  it('keeps nobody from starting: OpenBao answers, and can be initialised once bootstrap-init has run', async () => {
    await using node = await newNode()
    const bao = await startUninitialised(node)
    await waitUntilFailing(node, 'STORE_NOT_FOUND')
    const pids = { agent: node.agent().pid, openBao: bao.pid() }

    const sealKeyPath = await writeSealKey(folder.path)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
    await node.waitForLog('keyring opened')
    expect(await bao.request(INITIALISE)).toMatchObject({ status: 200 })
    await expectOpensByItself(node)
    expect({ agent: node.agent().pid, openBao: bao.pid() }).toEqual(pids)
  })

  it('lets an initialisation that comes too early wait for the bootstrap', async () => {
    await using node = await newNode()
    const bao = await startUninitialised(node)
    await waitUntilFailing(node, 'STORE_NOT_FOUND')
    const initialised = bao.request(INITIALISE)
    const sealKeyPath = await writeSealKey(folder.path)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
    expect(await initialised).toMatchObject({ status: 200 })
    await expectOpensByItself(node)
  })

  it('seals a node that had one until the volume is back, and nobody has to restart anything', async () => {
    const { node: opened, sealKeyPath } = await openNode(folder.path)
    await using node = opened
    await rm(sealKeyPath, { recursive: true })
    await cutPower(node)
    const before = await storeEntries(node.storePath)
    const away = `${node.storePath}-away`
    await rename(node.storePath, away)
    await boot(node)
    await expectSealed(node, { code: 'STORE_NOT_FOUND', message: 'check that its volume is mounted', retrying: true })
    expectRefusal(await node.bootstrap(NO_SEAL_KEY), 'BOOTSTRAP_KEY_MISSING', 3)
    await rename(away, node.storePath)
    expect(await storeEntries(node.storePath)).toEqual(before)
    await expectOpensByItself(node)
  })
})

describe('a seal store that was damaged', () => {
  it('is named as the cause by OpenBao too, which opens by itself once the keyring is whole again', async () => {
    await using node = (await openNode(folder.path)).node
    await cutPower(node)
    const keyring = join(node.storePath, 'keyring')
    const whole = await readFile(keyring)
    await truncate(keyring, whole.byteLength >> 1)
    const before = await storeEntries(node.storePath)
    await boot(node)
    await expectSealed(node, { code: 'STORE_KEYRING_INVALID', message: 'KEYRING_MALFORMED', retrying: true })
    expect(await storeEntries(node.storePath)).toEqual(before)
    await writeFile(keyring, whole)
    await expectOpensByItself(node)
  })
})

describe('a seal store that cannot be used', () => {
  let node: SealedNode
  let sealKeyPath: string

  const keyring = (): string => join(node.storePath, 'keyring')
  const backup = (): string => folder.join('backup')

  beforeEach(async () => {
    node = await createSealedNode({ name: 'solo', directory: folder.path })
    sealKeyPath = await writeSealKey(folder.path)
    answerOf(await node.bootstrap(sealKeyPath))
    await cp(node.storePath, backup(), { recursive: true })
  })

  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  /** Puts the store back as it was, as an operator does from a backup. */
  async function mend(): Promise<void> {
    await rm(node.storePath, { recursive: true, force: true })
    await cp(backup(), node.storePath, { recursive: true })
    await chmod(node.storePath, 0o700)
  }

  /** Flips one bit of the keyring, counted from its start or, if negative, from its end. */
  async function flipBit(byte: number, bit = 0): Promise<void> {
    const bytes = await readFile(keyring())
    const index = byte < 0 ? bytes.byteLength + byte : byte
    bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << bit), index)
    await writeFile(keyring(), bytes)
  }

  async function replaceKeyring(put: () => unknown): Promise<void> {
    await rm(keyring())
    await put()
  }

  it.each<[string, () => Promise<unknown>, string, string]>([
    ['truncated to one byte', () => truncate(keyring(), 1), 'STORE_KEYRING_INVALID', 'STORE_KEYRING_INVALID'],
    ['truncated by its last byte', () => cutLastByte(keyring()), 'STORE_KEYRING_INVALID', 'STORE_KEYRING_INVALID'],
    ['empty', () => truncate(keyring(), 0), 'STORE_KEYRING_EMPTY', 'STORE_KEYRING_EMPTY'],
    ['huge', () => truncate(keyring(), 2 ** 20), 'STORE_TOO_LARGE', 'STORE_TOO_LARGE'],
    ['flipped in its first bit', () => flipBit(0), 'STORE_KEYRING_INVALID', 'STORE_KEYRING_INVALID'],
    ['flipped in its last bit', () => flipBit(-1), 'KEYRING_AUTH_FAILED', 'KEYRING_AUTH_FAILED'],
    ['flipped in what the TPM sealed', flipInSealedKek, 'STORE_KEYRING_INVALID', 'STORE_KEYRING_INVALID'],
    ['replaced by a link', replaceByLink, 'STORE_NOT_A_FILE', 'STORE_NOT_A_FILE'],
    ['replaced by a pipe', replaceByPipe, 'STORE_NOT_A_FILE', 'STORE_NOT_A_FILE'],
    ['replaced by a folder', () => replaceKeyring(() => mkdir(keyring())), 'STORE_NOT_A_FILE', 'STORE_NOT_A_FILE'],
    ['readable by its group', () => chmod(keyring(), 0o640), 'STORE_UNSAFE_PERMISSIONS', 'STORE_UNSAFE_PERMISSIONS'],
    ['in an open folder', () => chmod(node.storePath, 0o755), 'STORE_UNSAFE_PERMISSIONS', 'STORE_UNSAFE_PERMISSIONS'],
    ['gone, with a trace of it left', removeWithTrace, 'STORE_KEYRING_MISSING', 'STORE_KEYRING_MISSING'],
    ['gone, and something else is there', removeBesideOther, 'STORE_UNKNOWN_FILES', 'STORE_UNKNOWN_FILES'],
  ])(
    'is named and left as it is when its keyring is %s; the agent waits and opens once it is mended',
    async (_, damage, bootstrapCode, agentCode) => {
      await damage()
      const before = await storeEntries(node.storePath)
      expectRefusal(await node.bootstrap(sealKeyPath), bootstrapCode, STORE_EXIT)
      await node.startAgent()
      await waitUntilFailing(node, agentCode)
      expect(await storeEntries(node.storePath)).toEqual(before)
      await mend()
      await waitUntilOpen(node)
      expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
    },
  )

  it('is refused at whichever of many positions a bit was flipped, and never written over', async () => {
    const { size } = await stat(keyring())
    const positions = Array.from({ length: 40 }, (_, index) => Math.floor(((index + 0.5) * size) / 40))
    for (const [index, byte] of positions.entries()) {
      await flipBit(byte, index % 8)
      const before = await storeEntries(node.storePath)
      const { exitCode, stderr } = await node.bootstrap(sealKeyPath)
      expect({ byte, exitCode }).toEqual({ byte, exitCode: STORE_EXIT })
      expect(stderr).toMatch(/^bootstrap-init: (STORE_KEYRING_INVALID|KEYRING_AUTH_FAILED): .{20,}\n$/)
      expect(await storeEntries(node.storePath)).toEqual(before)
      await flipBit(byte, index % 8)
    }
    await expectOpens(node)
  })

  it('belongs to somebody else: it is refused and left as it is', async () => {
    const mine = process.geteuid?.() ?? 0
    if (mine === 0) await chown(node.storePath, NOBODY, NOBODY)
    // Without root a folder cannot be given away, but there are folders of root.
    else await useStore(node, '/usr')
    const path = mine === 0 ? node.storePath : '/usr'
    const { mode, uid } = await stat(path)
    const refusal = await node.bootstrap(sealKeyPath)
    expectRefusal(refusal, 'STORE_UNSAFE_PERMISSIONS', STORE_EXIT)
    expect(refusal.stderr).toContain(`${path} belongs to user ${uid}`)
    expectRefusal(await node.bootstrap(sealKeyPath, ['--tighten-modes']), 'STORE_UNSAFE_PERMISSIONS', STORE_EXIT)
    await node.startAgent()
    await waitUntilFailing(node, 'STORE_UNSAFE_PERMISSIONS')
    expect(await stat(path)).toMatchObject({ mode, uid })
    if (mine === 0) await chown(node.storePath, 0, 0)
    else await useStore(node, node.storePath)
    await node.agent().stop()
    await node.startAgent()
    await waitUntilOpen(node)
  })

  async function cutLastByte(path: string): Promise<void> {
    await truncate(path, (await stat(path)).size - 1)
  }

  /** In the middle of the sealed KEK, found by its magic "SWTK". */
  async function flipInSealedKek(): Promise<void> {
    const at = (await readFile(keyring())).indexOf('SWTK')
    expect(at).toBeGreaterThan(0)
    await flipBit(at + 150)
  }

  async function replaceByLink(): Promise<void> {
    await replaceKeyring(() => symlink(join(backup(), 'keyring'), keyring()))
  }

  async function replaceByPipe(): Promise<void> {
    await replaceKeyring(() => execFileSync('mkfifo', ['-m', '600', keyring()]))
  }

  async function removeWithTrace(): Promise<void> {
    await rename(keyring(), join(node.storePath, 'keyring.previous'))
  }

  async function removeBesideOther(): Promise<void> {
    await rm(keyring())
    await writeFile(join(node.storePath, 'notes.txt'), 'not ours', { mode: 0o600 })
  }
})

describe('the disk of a seal store', () => {
  let node: SealedNode
  let sealKeyPath: string

  beforeEach(async () => {
    node = await createSealedNode({ name: 'solo', directory: folder.path })
    sealKeyPath = await writeSealKey(folder.path)
  })

  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  it('is full: a new node gets no store, a bootstrapped one keeps its own and opens, and all goes on once there is space', async () => {
    await using disk = await mountSmallDisk(folder.join('disk'))
    const store = join(disk.path, 'seal')
    await useStore(node, store)
    await disk.fill()
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_DISK_FULL', STORE_EXIT)
    expect(Object.keys(await storeEntries(store))).toEqual(['.'])
    await disk.free()
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })

    await disk.fill()
    const before = await storeEntries(store)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
    await node.startAgent()
    await waitUntilOpen(node)
    await node.agent().stop()
    await node.tpm.replace()
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_DISK_FULL', STORE_EXIT)
    expect(await storeEntries(store)).toEqual(before)
    await disk.free()
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'extended', seals: [opens] })
    await node.startAgent()
    await waitUntilOpen(node)
    await node.agent().stop()
  })

  it('is read-only: a new node gets no store, a bootstrapped one keeps its own and opens, and all goes on once it is not', async () => {
    await using disk = await mountSmallDisk(folder.join('disk'))
    const store = join(disk.path, 'seal')
    await useStore(node, store)
    await disk.setReadOnly(true)
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_READ_ONLY', STORE_EXIT)
    await disk.setReadOnly(false)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
    const before = await storeEntries(store)

    await disk.setReadOnly(true)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
    // An agent that never ran here has no lock file yet; it waits until it can make one.
    await node.startAgent()
    await waitUntilFailing(node, 'STORE_READ_ONLY')
    await disk.setReadOnly(false)
    await waitUntilOpen(node)
    await node.agent().stop()

    await disk.setReadOnly(true)
    await node.startAgent()
    await waitUntilOpen(node)
    await node.agent().stop()
    await node.tpm.replace()
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_READ_ONLY', STORE_EXIT)
    expect(await storeEntries(store)).toEqual(before)
    await disk.setReadOnly(false)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'extended', seals: [opens] })
  })
})

/** Points the node's configuration at another store. */
async function useStore(node: SealedNode, store: string): Promise<void> {
  const config = JSON.parse(await readFile(node.configPath, 'utf8')) as Readonly<Record<string, unknown>>
  await writeFile(node.configPath, JSON.stringify({ ...config, store }))
}
