import { execFileSync } from 'node:child_process'
import { chmod, chown, cp, mkdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { BOOTSTRAP_EXIT, expectBootstraps, expectRefusal, expectStoreOpens } from './bootstrap-run.ts'
import { expectOpensByItself, expectSealed, waitUntilFailing, waitUntilOpen } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { newNode, openNode } from './served-node.ts'
import { keyringPath, storeEntries, useStore } from './store-files.ts'
import { testScope } from './test-scope.ts'

/** A user that owns nothing here. */
const NOBODY = 65_534

/** Of a keyring, in which a bit is flipped. */
const FLIPPED_POSITIONS = 40

const scope = testScope()

describe('a seal store that was damaged', () => {
  it('is named as the cause by OpenBao too, which opens by itself once the keyring is whole again', async () => {
    const { node } = await openNode(scope)
    await cutPower(node)
    const whole = await readFile(keyringPath(node))
    await truncate(keyringPath(node), whole.byteLength >> 1)
    const before = await storeEntries(node.storePath)

    await boot(node)
    await expectSealed(node, { code: 'STORE_KEYRING_INVALID', message: 'KEYRING_MALFORMED', retrying: true })
    expect(await storeEntries(node.storePath)).toEqual(before)

    await writeFile(keyringPath(node), whole)
    await expectOpensByItself(node)
  })
})

describe('a seal store that cannot be used', () => {
  let node: SealedNode
  let sealKeyPath: string
  let keyring: string
  let backup: string

  beforeEach(async () => {
    ;({ node, sealKeyPath } = await newNode(scope))
    await expectBootstraps(node, sealKeyPath, 'created')
    keyring = keyringPath(node)
    backup = scope.folder.join('backup')
    await cp(node.storePath, backup, { recursive: true })
  })

  it.each<[string, () => Promise<unknown>, string]>([
    ['truncated to one byte', () => truncate(keyring, 1), 'STORE_KEYRING_INVALID'],
    ['truncated by its last byte', cutLastByte, 'STORE_KEYRING_INVALID'],
    ['empty', () => truncate(keyring, 0), 'STORE_KEYRING_EMPTY'],
    ['huge', () => truncate(keyring, 2 ** 20), 'STORE_TOO_LARGE'],
    ['flipped in its first bit', () => flipBit(0), 'STORE_KEYRING_INVALID'],
    ['flipped in its last bit', () => flipBit(-1), 'KEYRING_AUTH_FAILED'],
    ['flipped in what the TPM sealed', flipInSealedKek, 'STORE_KEYRING_INVALID'],
    ['replaced by a link', replaceByLink, 'STORE_NOT_A_FILE'],
    ['replaced by a pipe', replaceByPipe, 'STORE_NOT_A_FILE'],
    ['replaced by a folder', () => replaceKeyring(() => mkdir(keyring)), 'STORE_NOT_A_FILE'],
    ['readable by its group', () => chmod(keyring, 0o640), 'STORE_UNSAFE_PERMISSIONS'],
    ['in an open folder', () => chmod(node.storePath, 0o755), 'STORE_UNSAFE_PERMISSIONS'],
    ['gone, with a trace of it left', removeWithTrace, 'STORE_KEYRING_MISSING'],
    ['gone, and something else is there', removeBesideOther, 'STORE_UNKNOWN_FILES'],
  ])(
    'is named and left as it is when its keyring is %s; the agent waits and opens once it is mended',
    async (_, damage, code) => {
      await damage()
      const before = await storeEntries(node.storePath)

      expectRefusal(await node.bootstrap(sealKeyPath), code, BOOTSTRAP_EXIT.store)
      await node.startAgent()
      await waitUntilFailing(node, code)
      expect(await storeEntries(node.storePath)).toEqual(before)

      await mend()
      await waitUntilOpen(node)
      await expectBootstraps(node, sealKeyPath, 'unchanged')
    },
  )

  it('is refused at whichever of many positions a bit was flipped, and never written over', async () => {
    const { size } = await stat(keyring)
    for (let flip = 0; flip < FLIPPED_POSITIONS; flip++) {
      const byte = Math.floor(((flip + 0.5) * size) / FLIPPED_POSITIONS)
      await flipBit(byte, flip % 8)
      const before = await storeEntries(node.storePath)

      const { exitCode, stderr } = await node.bootstrap(sealKeyPath)

      expect({ byte, exitCode }).toEqual({ byte, exitCode: BOOTSTRAP_EXIT.store })
      expect(stderr).toMatch(/^bootstrap-init: (STORE_KEYRING_INVALID|KEYRING_AUTH_FAILED): .{20,}\n$/)
      expect(await storeEntries(node.storePath)).toEqual(before)
      await flipBit(byte, flip % 8)
    }
    await expectStoreOpens(node)
  })

  it('belongs to somebody else: it is refused and left as it is', async () => {
    const isRoot = process.geteuid?.() === 0
    if (isRoot) await chown(node.storePath, NOBODY, NOBODY)
    // Without root a folder cannot be given away, but there are folders of root.
    else await useStore(node, '/usr')
    const path = isRoot ? node.storePath : '/usr'
    const { mode, uid } = await stat(path)

    const refusal = await node.bootstrap(sealKeyPath)
    expectRefusal(refusal, 'STORE_UNSAFE_PERMISSIONS', BOOTSTRAP_EXIT.store)
    expect(refusal.stderr).toContain(`${path} belongs to user ${uid}`)
    const tightened = await node.bootstrap(sealKeyPath, ['--tighten-modes'])
    expectRefusal(tightened, 'STORE_UNSAFE_PERMISSIONS', BOOTSTRAP_EXIT.store)
    await node.startAgent()
    await waitUntilFailing(node, 'STORE_UNSAFE_PERMISSIONS')
    expect(await stat(path)).toMatchObject({ mode, uid })

    if (isRoot) await chown(node.storePath, 0, 0)
    else await useStore(node, node.storePath)
    await node.agent().stop()
    await node.startAgent()
    await waitUntilOpen(node)
  })

  /** Puts the store back as it was, as an operator does from a backup. */
  async function mend(): Promise<void> {
    await rm(node.storePath, { recursive: true, force: true })
    await cp(backup, node.storePath, { recursive: true })
    await chmod(node.storePath, 0o700)
  }

  /** Flips one bit of the keyring, counted from its start or, if negative, from its end. */
  async function flipBit(byte: number, bit = 0): Promise<void> {
    const bytes = await readFile(keyring)
    const index = byte < 0 ? bytes.byteLength + byte : byte
    bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << bit), index)
    await writeFile(keyring, bytes)
  }

  /** In the middle of the sealed KEK, found by its magic "SWTK". */
  async function flipInSealedKek(): Promise<void> {
    const at = (await readFile(keyring)).indexOf('SWTK')
    expect(at).toBeGreaterThan(0)
    await flipBit(at + 150)
  }

  async function cutLastByte(): Promise<void> {
    await truncate(keyring, (await stat(keyring)).size - 1)
  }

  async function replaceKeyring(put: () => unknown): Promise<void> {
    await rm(keyring)
    await put()
  }

  async function replaceByLink(): Promise<void> {
    await replaceKeyring(() => symlink(join(backup, 'keyring'), keyring))
  }

  async function replaceByPipe(): Promise<void> {
    await replaceKeyring(() => execFileSync('mkfifo', ['-m', '600', keyring]))
  }

  async function removeWithTrace(): Promise<void> {
    await rename(keyring, join(node.storePath, 'keyring.previous'))
  }

  async function removeBesideOther(): Promise<void> {
    await rm(keyring)
    await writeFile(join(node.storePath, 'notes.txt'), 'not ours', { mode: 0o600 })
  }
})
