import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import {
  activateGeneration,
  addGeneration,
  addRecord,
  createKeyring,
  encodeKeyring,
  type Keyring,
  matchSealKey,
} from '@sealwright/keyring'
import { decodeEnrolmentRequest, enrolmentMember, openKeyringStore, readStoredKeyring } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { createShareSet, encodeShare, shamirRemoteMember } from '@sealwright/shamir'
import { repositoryRoot, startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { runSealctl } from '../program.ts'

const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }

let folder: TemporaryFolder
let swtpm: Swtpm

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

/** Runs sealctl, with nobody at a terminal. */
async function sealctl(...args: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  stdin.end()
  const exitCode = await runSealctl(args, {
    ...{ stdin, stdout, stderr, signal, now: () => new Date() },
    interrupt: () => undefined,
  })
  const read = (stream: PassThrough): string => String(stream.read() ?? '')
  return { exitCode, stdout: read(stdout), stderr: read(stderr) }
}

async function nodeYaml(fields: object = {}): Promise<string> {
  const path = folder.join('node.yaml')
  const seals = [{ name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: swtpm.socketPath } }]
  await writeFile(path, JSON.stringify({ store: folder.join('seal'), seals, ...fields }), { mode: 0o600 })
  return path
}

/** The keyring of a cluster whose machines are gone, with shares or without, and files with the shares. */
async function lostCluster(
  hasShares: boolean,
): Promise<{ keyring: Keyring; sealKey: Secret; newer: Keyring; path: string; shareFiles: string[] }> {
  const sealKey = new Secret(Uint8Array.from(randomBytes(32)))
  let keyring = await createKeyring({
    ...{ sealName: 'backup', method: 'transit', label: 'gone', sealKey, ...surroundings },
    member: { sealType: 'transit', memberId: randomBytes(16), sealKek: () => Promise.resolve(gone()) },
  })
  const shareFiles: string[] = []
  if (hasShares) {
    const { clusterId } = keyring
    const { wrappingKey, memberId, data, shares } = createShareSet({ clusterId, threshold: 2, shares: 3, randomBytes })
    keyring = await addRecord({
      ...{ keyring, sealKeys: matchSealKey({ keyring, sealKey }), sealName: 'people', label: 'default', data },
      ...{
        member: shamirRemoteMember({ wrappingKey, memberId }),
        wrappingKey,
        method: 'shamir-hybrid',
        ...surroundings,
      },
    })
    for (const share of shares) {
      const path = folder.join(`share-${share.index}`)
      await writeFile(
        path,
        encodeShare(share).reveal(bytes => Buffer.from(bytes)),
        { mode: 0o600 },
      )
      shareFiles.push(path)
    }
  }
  const path = folder.join('keyring.bin')
  await writeFile(path, encodeKeyring(keyring))
  return { keyring, sealKey, newer: rotated(keyring, sealKey), path, shareFiles }
}

function rotated(before: Keyring, sealKey: Secret): Keyring {
  const sealKeys = matchSealKey({ keyring: before, sealKey })
  const {
    keyring,
    generation,
    sealKey: next,
  } = addGeneration({
    ...{ keyring: before, sealKeys, step: 'chained', randomBytes },
  })
  return activateGeneration({ keyring, sealKeys: sealKeys.with(generation.id, next), id: generation.id })
}

/** What another OpenBao has sealed that is no more. */
function gone(): Uint8Array {
  return randomBytes(60)
}

async function failure(...args: readonly string[]): Promise<{ exitCode: number; code: string; message: string }> {
  const { exitCode, stdout } = await sealctl(...args, '--json')
  expect(exitCode).not.toBe(0)
  const { code, errors } = JSON.parse(stdout) as { code: string; errors: readonly string[] }
  return { exitCode, code, message: errors.join() }
}

async function code(...args: readonly string[]): Promise<string> {
  return (await failure(...args)).code
}

describe('sealctl recover', () => {
  it('opens a keyring by shares alone, gives this machine a record of its own, and writes the store', async () => {
    const { path, keyring, shareFiles } = await lostCluster(true)
    const [one = '', , three = ''] = shareFiles
    const args = ['recover', '--config', await nodeYaml({ store: folder.join('seal') }), '--keyring', path]
    const { exitCode, stdout, stderr } = await sealctl(...args, '--share-file', one, '--share-file', three, '--json')
    expect([exitCode, stderr]).toEqual([0, ''])
    const clusterId = Buffer.from(keyring.clusterId).toString('hex')
    expect(JSON.parse(stdout)).toMatchObject({ clusterId, openedBy: 'people', opens: ['tpm'] })
    expect((await readStoredKeyring(folder.join('seal'))).members).toHaveLength(3)
  })

  it('calls the TPM of this machine as it is told, and says if it has another label already', async () => {
    const { path, shareFiles } = await lostCluster(true)
    const [one = '', , three = ''] = shareFiles
    const args = [
      'recover',
      '--config',
      await nodeYaml(),
      '--keyring',
      path,
      '--share-file',
      one,
      '--share-file',
      three,
    ]
    const labelOfTpm = async () => {
      const { members, seals } = await readStoredKeyring(folder.join('seal'))
      const tpm = seals.find(({ name }) => name === 'tpm')
      return members.find(({ sealId }) => tpm !== undefined && Buffer.compare(sealId, tpm.sealId) === 0)?.label
    }
    const first = await sealctl(...args, '--label', 'node-a', '--json')
    expect(JSON.parse(first.stdout)).toMatchObject({ opens: ['tpm'], warnings: [] })
    expect(await labelOfTpm()).toBe('node-a')
    const again = await sealctl(...args, '--label', 'node-b')
    expect(again).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('warning: --label node-b was ignored') as unknown,
    })
    expect(await labelOfTpm()).toBe('node-a')
  })

  it('writes nothing where shares are missing, or of another cluster', async () => {
    const { path, shareFiles } = await lostCluster(true)
    const config = await nodeYaml()
    const [one = ''] = shareFiles
    expect(await failure('recover', '--config', config, '--keyring', path, '--share-file', one)).toMatchObject({
      ...{ exitCode: 2, code: 'LOCAL_NO_SHARES' },
    })
    const strange = createShareSet({ clusterId: randomBytes(16), threshold: 2, shares: 2, randomBytes })
    const [share] = strange.shares
    if (share === undefined) throw new Error('no share')
    const strangeFile = folder.join('strange')
    await writeFile(
      strangeFile,
      encodeShare(share).reveal(bytes => Buffer.from(bytes)),
      { mode: 0o600 },
    )
    expect(await code('recover', '--config', config, '--keyring', path, '--share-file', strangeFile)).toBe(
      'LOCAL_SEAL_UNKNOWN',
    )
    await expect(readStoredKeyring(folder.join('seal'))).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  })

  it('says that nothing opens a keyring that has neither a record for this machine nor shares', async () => {
    const { path } = await lostCluster(false)
    expect(await failure('recover', '--config', await nodeYaml(), '--keyring', path)).toMatchObject({
      ...{ exitCode: 6, code: 'LOCAL_NOT_OPENED' },
    })
  })

  it('asks no seal for a keyring of another cluster than the one that was named', async () => {
    const { path, keyring, shareFiles } = await lostCluster(true)
    const [one = '', two = ''] = shareFiles
    const other = randomBytes(16).toString('hex')
    const args = ['recover', '--keyring', path, '--share-file', one, '--share-file', two]
    const typed = await failure(...args, '--config', await nodeYaml(), '--cluster-id', other)
    const configured = await failure(...args, '--config', await nodeYaml({ clusterId: other }))
    for (const { exitCode, code, message } of [typed, configured]) {
      expect([exitCode, code]).toEqual([1, 'KEYRING_OTHER_CLUSTER'])
      expect(message).toContain(`of ${Buffer.from(keyring.clusterId).toString('hex')}, and ${other} was named by`)
    }
    expect([typed.message, configured.message]).toEqual([
      expect.stringContaining('--cluster-id'),
      expect.stringContaining('clusterId in node.yaml'),
    ])
  })

  it('leaves a store as it is that is newer than the keyring which was brought, and says what to do', async () => {
    const { path, newer, shareFiles } = await lostCluster(true)
    const [one = '', two = ''] = shareFiles
    const config = await nodeYaml()
    const bytes = encodeKeyring(newer)
    await using store = await openKeyringStore(folder.join('seal'), { create: true })
    await store.writeKeyring({ bytes, expectedCurrent: undefined, signal, prove: () => Promise.resolve() })
    await store[Symbol.asyncDispose]()
    const args = ['recover', '--config', config, '--keyring', path, '--share-file', one, '--share-file', two]
    expect(await failure(...args)).toMatchObject({
      ...{ exitCode: 1, code: 'LOCAL_STORE_NEWER' },
      message: expect.stringContaining('Start the agent with it, or bring a newer snapshot') as string,
    })
    expect(encodeKeyring(await readStoredKeyring(folder.join('seal')))).toEqual(bytes)
  })

  it('names a file that it cannot use', async () => {
    const config = await nodeYaml()
    expect(await code('recover', '--config', config, '--keyring', folder.join('nothing'))).toBe(
      'LOCAL_INPUT_UNREADABLE',
    )
    const noSnapshot = ['recover', '--config', config, '--snapshot', config]
    expect(await failure(...noSnapshot)).toMatchObject({ exitCode: 1, code: 'RAFT_SNAPSHOT_NOT_GZIP' })
    const foreign = `${repositoryRoot()}/vectors/raft-snapshot/static-seal.tar.gz`
    expect(await code('recover', '--config', config, '--snapshot', foreign)).toBe('LOCAL_SNAPSHOT_WITHOUT_KEYRING')
    expect(await code('recover', '--config', config)).toBe('SEALCTL_USAGE')
  })
})

describe('sealctl enroll request', () => {
  it('writes a request and shows its fingerprint, and never over a file', async () => {
    const [config, output] = [await nodeYaml(), folder.join('request.json')]
    const { exitCode, stdout } = await sealctl('enroll', 'request', '--config', config, '--output', output, '--json')
    expect(exitCode).toBe(0)
    expect((JSON.parse(stdout) as { fingerprint: string }).fingerprint).toMatch(/^([0-9a-f]{4}-){7}[0-9a-f]{4}$/)
    expect(await code('enroll', 'request', '--config', config, '--output', output)).toBe('SEALCTL_OUTPUT_UNUSABLE')
    const other = ['enroll', 'request', '--config', config, '--seal', 'nothing', '--output', folder.join('other')]
    expect(await code(...other)).toBe('LOCAL_SEAL_UNKNOWN')
  })
})

describe('sealctl enroll apply', () => {
  it('says to name the cluster, or that it is another one, before it speaks of a record that others made', async () => {
    const [config, output] = [await nodeYaml(), folder.join('request.json')]
    await sealctl('enroll', 'request', '--config', config, '--output', output)
    const { sealName, ...request } = decodeEnrolmentRequest(await readFile(output))
    const { keyring: before, sealKey } = await lostCluster(false)
    const keyring = await addRecord({
      ...{ keyring: before, sealKeys: matchSealKey({ keyring: before, sealKey }), sealName, label: 'new' },
      ...{ ...enrolmentMember({ sealName, ...request }), ...surroundings },
    })
    const path = folder.join('approved.bin')
    await writeFile(path, encodeKeyring(keyring))
    const apply = ['enroll', 'apply', '--config', config, '--keyring', path]
    expect(await failure(...apply)).toMatchObject({
      ...{ exitCode: 1, code: 'LOCAL_CLUSTER_UNNAMED' },
      message: expect.stringContaining('name the cluster, with --cluster-id HEX or clusterId in node.yaml') as string,
    })
    expect(await failure(...apply, '--cluster-id', randomBytes(16).toString('hex'))).toMatchObject({
      ...{ exitCode: 1, code: 'KEYRING_OTHER_CLUSTER' },
      message: expect.stringContaining('the keyring is of another cluster') as string,
    })
    const clusterId = Buffer.from(keyring.clusterId).toString('hex')
    const { exitCode, stdout } = await sealctl(...apply, '--cluster-id', clusterId)
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining(`tpm of this node opens the cluster ${clusterId}`)])
  })
})
