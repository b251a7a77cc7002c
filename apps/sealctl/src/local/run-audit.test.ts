import { createSecretKey, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { openAuditLog } from '@sealwright/audit-log'
import { createKeyring, encodeKeyring, matchSealKey, OpenKeyring } from '@sealwright/keyring'
import { configuredSeals, openKeyringStore } from '@sealwright/node-seals'
import { loadNodeConfig } from '@sealwright/program'
import { Secret } from '@sealwright/secret'
import { startSwtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { runHere } from '../testing/run-here.ts'

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

/** A node whose agent would log there. */
async function nodeYaml(auditDirectory: string): Promise<string> {
  const seals = [{ name: 'people', type: 'shamir', priority: 1 }]
  const config = { store: folder.join('seal'), agent: { auditDirectory }, seals }
  await writeFile(folder.join('node.yaml'), JSON.stringify(config), { mode: 0o600 })
  return folder.join('node.yaml')
}

const verify = (...args: readonly string[]) => runHere(['audit', 'verify', ...args])

describe('sealctl audit verify', () => {
  it('reads the log that the configuration names, or the folder that is given instead', async () => {
    const [own, copy] = [folder.join('own'), folder.join('copy')]
    await mkdir(own)
    await mkdir(copy)
    const config = await nodeYaml(own)
    expect(await verify('--config', config)).toEqual({
      ...{ exitCode: 0, stderr: '', stdout: `there is no audit log in ${own}\n` },
    })
    const missing = folder.join('nothing.yaml')
    expect(JSON.parse((await verify('--config', missing, '--directory', copy, '--json')).stdout)).toEqual({
      ...{ directory: copy, kind: 'empty' },
    })
  })

  it('says that the configuration cannot be read where no folder is given', async () => {
    const { exitCode, stderr } = await verify('--config', folder.join('nothing.yaml'))
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^sealctl: CONFIG_UNREADABLE: /)])
  })
})

describe('sealctl audit verify --checkpoints', () => {
  const { signal } = new AbortController()
  const pkcs11Program = { command: '/nonexistent', args: [] }

  /** A node with a store that its TPM opens, and the keyring in it. */
  async function nodeWithStore(socketPath: string): Promise<{ readonly config: string; readonly open: OpenKeyring }> {
    const config = folder.join('node.yaml')
    const tpm = { name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: socketPath } }
    const agent = { auditDirectory: folder.join('audit') }
    await writeFile(config, JSON.stringify({ store: folder.join('seal'), agent, seals: [tpm] }), { mode: 0o600 })
    const [seal] = configuredSeals(await loadNodeConfig(config), { pkcs11Program })
    if (seal === undefined) throw new Error('no seal')
    await using own = seal
    const sealKey = new Secret(Uint8Array.from(randomBytes(32)))
    const keyring = await own.withLocalMember({ knownIn: undefined, signal }, member =>
      createKeyring({
        ...{ sealName: 'tpm', label: 'node', member, method: member.method, sealKey },
        ...{ now: Date.now, randomBytes, signal },
      }),
    )
    await using store = await openKeyringStore(folder.join('seal'), { create: true })
    const bytes = encodeKeyring(keyring)
    await store.writeKeyring({ bytes, expectedCurrent: undefined, prove: () => Promise.resolve(), signal })
    return { config, open: OpenKeyring.from(keyring, matchSealKey({ keyring, sealKey })) }
  }

  async function writeLog(directory: string, open?: Pick<OpenKeyring, 'keyId' | 'auditKey'>): Promise<void> {
    const onFailure = (error: unknown): never => {
      throw error
    }
    await using audit = openAuditLog({ directory, node: 'node', now: Date.now, onFailure })
    audit.append({ kind: 'agent-started', version: '1', pid: 1 })
    const key = open?.auditKey()
    if (open !== undefined && key !== undefined) audit.setCheckpointKey({ keyId: open.keyId, key })
  }

  it('says up to where nobody without the seal key has changed anything, and that a log without any may be anybody’s', async () => {
    await using swtpm = await startSwtpm({ directory: folder.path }).then(tpm => ({
      ...tpm,
      [Symbol.asyncDispose]: () => tpm.stop(),
    }))
    const { config, open } = await nodeWithStore(swtpm.socketPath)
    await writeLog(folder.join('audit'), open)
    const genuine = await verify('--config', config, '--checkpoints')
    expect(genuine).toMatchObject({ exitCode: 0, stderr: '' })
    expect(genuine.stdout).toMatch(/^checkpoints {2}1 genuine: nobody without the seal key has changed line 1 to 3$/m)
    expect((await verify('--config', config)).stdout).toMatch(/^checkpoints {2}1, not checked: see --checkpoints$/m)

    const rewritten = folder.join('rewritten')
    await writeLog(rewritten)
    const none = await verify('--config', config, '--checkpoints', '--directory', rewritten)
    expect(none.stdout).toMatch(/^checkpoints {2}NONE IS GENUINE: anybody can have written this log$/m)

    const foreign = folder.join('foreign')
    await writeLog(foreign, { keyId: open.keyId, auditKey: () => createSecretKey(randomBytes(32)) })
    const forged = await verify('--config', config, '--checkpoints', '--directory', foreign)
    expect(forged).toMatchObject({ exitCode: 2 })
    expect(forged.stdout).toMatch(/^BROKEN: forged-checkpoint /)
  })

  it('takes no key from a store of another cluster: whoever rewrites the log may have written that, too', async () => {
    const swtpm = await startSwtpm({ directory: folder.path })
    try {
      const { config, open } = await nodeWithStore(swtpm.socketPath)
      await writeLog(folder.join('audit'), open)
      const written = JSON.parse(await readFile(config, 'utf8')) as object
      await writeFile(config, JSON.stringify({ ...written, clusterId: 'c0'.repeat(16) }))
      const { exitCode, stdout, stderr } = await verify('--config', config, '--checkpoints')
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
      expect(stderr).toMatch(/^sealctl: KEYRING_OTHER_CLUSTER: /)
    } finally {
      await swtpm.stop()
    }
  })

  it('says that it has no key where no seal opens the store', async () => {
    const swtpm = await startSwtpm({ directory: folder.path })
    const { config } = await nodeWithStore(swtpm.socketPath)
    await swtpm.stop()
    const { exitCode, stderr } = await verify('--config', config, '--checkpoints')
    expect([exitCode, stderr]).toEqual([6, expect.stringMatching(/^sealctl: LOCAL_NOT_OPENED: .*tpm: TPM_UNREACHABLE/)])
  })
})
