import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createSealedNode, programCommand, runProgramToEnd, type SealedNode } from '@sealwright/testing-cluster'
import {
  repositoryRoot,
  SEARCH_PATH,
  startProcess,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { writeSealKey } from './seal-key.ts'
import { answerOf, expectOpens, expectRefusal, NO_SEAL_KEY, storeEntries } from './store-files.ts'
import { proxyTpm, TPM_CC_Unseal } from './tpm-proxy.ts'
import { tpm2 } from './tpm-tools.ts'

const SEAL_KEY_EXIT = 3
const OTHER_KEY_EXIT = 4
const SEAL_EXIT = 5
const STORE_EXIT = 6

const opens = { name: 'tpm', state: 'opens' }

let folder: TemporaryFolder
let node: SealedNode
let sealKeyPath: string

beforeEach(async () => {
  folder = await temporaryFolder()
  node = await createSealedNode({ name: 'solo', directory: folder.path })
  sealKeyPath = await writeSealKey(folder.path)
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

describe('a bootstrap that is run again', () => {
  it('says unchanged and leaves every byte of the store as it was, with the seal key and without', async () => {
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
    const before = await storeEntries(node.storePath)
    expect(before).toMatchObject({ '.': { mode: '700' }, keyring: { mode: '600' } })
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
    await rm(sealKeyPath, { recursive: true })
    await expectOpens(node)
    expect(await storeEntries(node.storePath)).toEqual(before)
  })

  it('does not fail because a bootstrapped node has no TPM yet', async () => {
    answerOf(await node.bootstrap(sealKeyPath))
    const before = await storeEntries(node.storePath)
    await node.tpm.stop()
    const late = { result: 'unchanged', seals: [{ name: 'tpm', state: 'fails', code: 'TPM_UNREACHABLE' }] }
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject(late)
    expect(answerOf(await node.bootstrap(NO_SEAL_KEY))).toMatchObject(late)
    expect(await storeEntries(node.storePath)).toEqual(before)
    await node.tpm.start()
    await expectOpens(node)
  })

  it('leaves a running agent alone', async () => {
    answerOf(await node.bootstrap(sealKeyPath))
    const before = await storeEntries(node.storePath)
    await node.startAgent()
    await node.waitForLog('keyring opened')
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect(await storeEntries(node.storePath)).toEqual(before)
    const status = await node.sealctl('status', '--json')
    expect(status.exitCode).toBe(0)
    expect(JSON.parse(status.stdout)).toMatchObject({ verdict: { kind: 'ready' }, pid: node.agent().pid })
  })
})

describe('a bootstrap of a new node', () => {
  it('waits for nobody: a TPM that is late is an error, and the next run goes well', async () => {
    await node.tpm.stop()
    expectRefusal(await node.bootstrap(sealKeyPath), 'TPM_UNREACHABLE', SEAL_EXIT)
    expect(Object.keys(await storeEntries(node.storePath))).toEqual(['.'])
    await node.tpm.start()
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
  })

  it('writes no store when the TPM does not open what it has just wrapped, and names the cause', async () => {
    await using proxy = await proxyTpm(folder.join('bus.sock'), node.tpm.socketPath)
    await node.writeConfig({ tpmSocketPath: proxy.socketPath })
    proxy.setFate(code => ({ kind: code === TPM_CC_Unseal ? 'cut' : 'pass' }))
    const refusal = await node.bootstrap(sealKeyPath)
    expectRefusal(refusal, 'BOOTSTRAP_PROOF_FAILED', SEAL_EXIT)
    expect(refusal.stderr).toMatch(/the seal tpm does not open what it was just given \(TPM_GONE: /)
    expect(Object.keys(await storeEntries(node.storePath))).toEqual(['.'])
    proxy.setFate(() => ({ kind: 'pass' }))
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
  })

  it('stops at the deadline of a TPM that hangs, and at SIGTERM before that', async () => {
    await using proxy = await proxyTpm(folder.join('bus.sock'), node.tpm.socketPath)
    await node.writeConfig({ tpmSocketPath: proxy.socketPath, seal: { deadlineMs: 300 } })
    proxy.setFate(() => ({ kind: 'swallow' }))
    expectRefusal(await node.bootstrap(sealKeyPath), 'TPM_TIMEOUT', SEAL_EXIT)

    await node.writeConfig({ tpmSocketPath: proxy.socketPath, seal: { deadlineMs: 60_000 } })
    const asked = Promise.withResolvers<undefined>()
    proxy.setFate(() => {
      asked.resolve(undefined)
      return { kind: 'swallow' }
    })
    const { command, args } = programCommand('bootstrap-init')
    const running = await startProcess({
      name: 'hanging',
      command,
      args: [...args, '--config', node.configPath, '--seal-key', sealKeyPath],
      logDirectory: folder.path,
    })
    await asked.promise
    running.kill('SIGTERM')
    expect(await running.exited).toEqual({ code: 130, signal: null })
    expect(Object.keys(await storeEntries(node.storePath))).toEqual(['.'])
    proxy.setFate(() => ({ kind: 'pass' }))
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
  })

  it('needs a seal key, and says where it looked', async () => {
    const refusal = await node.bootstrap(NO_SEAL_KEY)
    expectRefusal(refusal, 'BOOTSTRAP_KEY_MISSING', SEAL_KEY_EXIT)
    expect(refusal.stderr).toContain(`no seal key at ${NO_SEAL_KEY}, and no keyring in ${node.storePath}`)
    expect(existsSync(node.storePath)).toBe(false)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
  })

  it('ends with one whole store when two bootstraps run at once', async () => {
    const runs = await Promise.all([node.bootstrap(sealKeyPath), node.bootstrap(sealKeyPath)])
    expect(runs.some(({ exitCode }) => exitCode === 0)).toBe(true)
    for (const run of runs) if (run.exitCode !== 0) expectRefusal(run, 'STORE_CHANGED', STORE_EXIT)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
  })
})

describe("another cluster's seal key", () => {
  it('is refused with exit code 4, and never replaces a record that works', async () => {
    answerOf(await node.bootstrap(sealKeyPath))
    const before = await storeEntries(node.storePath)
    const otherKeyPath = await writeSealKey(folder.path, 'other')
    expectRefusal(await node.bootstrap(otherKeyPath), 'KEYRING_OTHER_KEY', OTHER_KEY_EXIT)
    await node.tpm.stop()
    expectRefusal(await node.bootstrap(otherKeyPath), 'KEYRING_OTHER_KEY', OTHER_KEY_EXIT)
    await node.tpm.start()
    expect(await storeEntries(node.storePath)).toEqual(before)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('is refused under the name of our own key too, and our key under another name', async () => {
    await writeFile(join(sealKeyPath, 'key-id'), 'bootstrap-1')
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', keyId: 'bootstrap-1' })
    const before = await storeEntries(node.storePath)
    const otherKeyPath = await writeSealKey(folder.path, 'other')
    await writeFile(join(otherKeyPath, 'key-id'), 'bootstrap-1')
    expectRefusal(await node.bootstrap(otherKeyPath), 'KEYRING_OTHER_KEY', OTHER_KEY_EXIT)
    await writeFile(join(sealKeyPath, 'key-id'), 'bootstrap-2')
    expectRefusal(await node.bootstrap(sealKeyPath), 'BOOTSTRAP_KEY_ID', SEAL_KEY_EXIT)
    expect(await storeEntries(node.storePath)).toEqual(before)
    await writeFile(join(sealKeyPath, 'key-id'), 'bootstrap-1')
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
  })
})

describe('a seal key that cannot be used', () => {
  const key = randomBytes(32)
  // A key whose text has a digit in which the two alphabets of base64 differ.
  key[0] = 0xfb
  const text = key.toString('base64')
  const asText = (content: string | Buffer) => (path: string) => writeFile(path, content)

  it.each<[string, (path: string) => unknown, string]>([
    ['it has 31 bytes', asText(key.subarray(1).toString('base64')), 'BOOTSTRAP_KEY_LENGTH'],
    ['it has 33 bytes', asText(Buffer.concat([key, Buffer.of(1)]).toString('base64')), 'BOOTSTRAP_KEY_LENGTH'],
    ['it is hex', asText(key.toString('hex')), 'BOOTSTRAP_KEY_LENGTH'],
    ['its file is empty', asText(''), 'BOOTSTRAP_KEY_LENGTH'],
    ['its file is huge', path => asText(text)(path).then(() => truncate(path, 2 ** 40)), 'BOOTSTRAP_KEY_LENGTH'],
    ['it is bad base64', asText(`${text.slice(0, 20)}!${text.slice(21)}`), 'BOOTSTRAP_KEY_BASE64'],
    ['it is in the URL alphabet', asText(key.toString('base64url') + '='), 'BOOTSTRAP_KEY_BASE64'],
    ['it ends with a newline', asText(`${text}\n`), 'BOOTSTRAP_KEY_NEWLINE'],
    ['it ends with CRLF', asText(`${text}\r\n`), 'BOOTSTRAP_KEY_NEWLINE'],
    ['it is all zeros', asText(Buffer.alloc(32).toString('base64')), 'KEYRING_SEAL_KEY_INVALID'],
    ['a pipe is in its place', path => execFileSync('mkfifo', [path]), 'BOOTSTRAP_KEY_UNREADABLE'],
    ['a folder is in its place', path => mkdir(path), 'BOOTSTRAP_KEY_UNREADABLE'],
  ])('is refused when %s; the store stays as it was, and the right key works after', async (_, put, code) => {
    const good = join(sealKeyPath, 'seal-key')
    await rename(good, join(sealKeyPath, 'kept'))
    await put(good)
    const onNewNode = await node.bootstrap(sealKeyPath)
    expectRefusal(onNewNode, code, SEAL_KEY_EXIT)
    expect(onNewNode.stderr).not.toContain(text.slice(0, 10))
    if (existsSync(node.storePath)) expect(Object.keys(await storeEntries(node.storePath))).toEqual(['.'])

    const bad = join(sealKeyPath, 'bad')
    await rename(good, bad)
    await rename(join(sealKeyPath, 'kept'), good)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
    const before = await storeEntries(node.storePath)
    await rename(good, join(sealKeyPath, 'kept'))
    await rename(bad, good)
    expectRefusal(await node.bootstrap(sealKeyPath), code, SEAL_KEY_EXIT)
    expect(await storeEntries(node.storePath)).toEqual(before)
    await rm(good, { recursive: true })
    await rename(join(sealKeyPath, 'kept'), good)
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
  })
})

describe('a TPM that is not the one that sealed', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    ['cleared', () => tpm2(node.tpm, 'clear', '-c', 'p'), 'TPM_CLEARED'],
    ['replaced', () => node.tpm.replace(), 'TPM_REPLACED'],
  ])(
    'gets a new record beside the old one when it was %s and the seal key is at hand, and the agent opens by it',
    async (_, change, code) => {
      answerOf(await node.bootstrap(sealKeyPath))
      const before = await storeEntries(node.storePath)
      await change()
      expect(answerOf(await node.bootstrap(NO_SEAL_KEY))).toMatchObject({
        result: 'unchanged',
        seals: [{ name: 'tpm', state: 'fails', code }],
      })
      expect(await storeEntries(node.storePath)).toEqual(before)

      expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'extended', seals: [opens] })
      const after = await storeEntries(node.storePath)
      expect(after['keyring.previous']?.hex).toBe(before.keyring?.hex)
      // What the old TPM sealed, found by its magic "SWTK", is still there.
      const [, record] = /(5357544b.*)$/.exec(before.keyring?.hex ?? '') ?? []
      expect(after.keyring?.hex).toContain(record?.slice(0, 200))
      expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'unchanged', seals: [opens] })
      await node.startAgent()
      await node.waitForLog('keyring opened')
    },
  )
})

describe('the connector', () => {
  const shipped = join(repositoryRoot(), 'apps/bootstrap-init/dist/sealwright-connector')
  const placed = (): string => join(node.pluginDirectory, 'sealwright-connector')

  it('is put into the plugin folder, executable for all and writable for none, and then left alone', async () => {
    const sha256 = createHash('sha256').update(readFileSync(shipped)).digest('hex')
    expect(answerOf(await node.bootstrap(sealKeyPath)).connector).toEqual({ outcome: 'placed', path: placed(), sha256 })
    const { mode, ino } = await lstat(placed())
    expect(mode & 0o7777).toBe(0o555)
    expect(readFileSync(placed())).toEqual(readFileSync(shipped))
    expect(answerOf(await node.bootstrap(sealKeyPath)).connector).toMatchObject({ outcome: 'unchanged', sha256 })
    expect((await lstat(placed())).ino).toBe(ino)
  })

  it('replaces another version of itself, and a mode that somebody changed', async () => {
    await writeFile(placed(), '#!/bin/sh\n# Sealwright connector of another release\n')
    expect(answerOf(await node.bootstrap(sealKeyPath)).connector).toMatchObject({ outcome: 'replaced' })
    await chmod(placed(), 0o777)
    expect(answerOf(await node.bootstrap(sealKeyPath)).connector).toMatchObject({ outcome: 'replaced' })
    expect((await lstat(placed())).mode & 0o7777).toBe(0o555)
    expect(readFileSync(placed())).toEqual(readFileSync(shipped))
    expect(await readdir(node.pluginDirectory)).toEqual(['sealwright-connector'])
  })

  it('never replaces a file that is not ours, and nothing else is done meanwhile', async () => {
    await writeFile(placed(), '#!/bin/sh\necho somebody else\n', { mode: 0o700 })
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_FILE_NOT_OURS', STORE_EXIT)
    expect(await readFile(placed(), 'utf8')).toBe('#!/bin/sh\necho somebody else\n')
    expect(existsSync(node.storePath)).toBe(false)
    await rm(placed())
    expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({
      result: 'created',
      connector: { outcome: 'placed' },
    })
  })

  it('needs its folder', async () => {
    await rm(node.pluginDirectory, { recursive: true })
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_NOT_FOUND', STORE_EXIT)
    await mkdir(node.pluginDirectory, { mode: 0o700 })
    expect(answerOf(await node.bootstrap(sealKeyPath)).connector).toMatchObject({ outcome: 'placed' })
  })
})

describe('a volume that gets group bits at every mount', () => {
  it('is refused, and taken with --tighten-modes', async () => {
    answerOf(await node.bootstrap(sealKeyPath))
    await chmod(node.storePath, 0o2770)
    await chmod(join(node.storePath, 'keyring'), 0o660)
    await chmod(join(node.storePath, 'writer.lock'), 0o660)
    const before = await storeEntries(node.storePath)
    const refusal = await node.bootstrap(sealKeyPath)
    expectRefusal(refusal, 'STORE_UNSAFE_PERMISSIONS', STORE_EXIT)
    expect(refusal.stderr).toContain(`chmod 0700 '${node.storePath}'`)
    expect(await storeEntries(node.storePath)).toEqual(before)

    expect(answerOf(await node.bootstrap(sealKeyPath, ['--tighten-modes']))).toMatchObject({
      result: 'unchanged',
      seals: [opens],
    })
    expect(await storeEntries(node.storePath)).toEqual({
      '.': { ...before['.'], mode: '700' },
      keyring: { ...before.keyring, mode: '600' },
    })
    expect((await stat(join(node.storePath, 'writer.lock'))).mode & 0o777).toBe(0o600)
    await node.startAgent()
    await node.waitForLog('keyring opened')
  })
})

describe('the README of bootstrap-init', () => {
  it('shows an example that works as it stands', async () => {
    const readme = readFileSync(join(repositoryRoot(), 'apps/bootstrap-init/README.md'), 'utf8')
    const blockOf = (language: string): string => {
      const [, block] = new RegExp('```' + language + '\\n(.*?)```', 's').exec(readme) ?? []
      if (block === undefined) throw new Error(`the README has no ${language} block`)
      return here(block)
    }
    /** The paths of a real node, moved into the folder of this test. */
    const here = (shown: string): string =>
      shown
        .replaceAll('device: /dev/tpmrm0', `socket: ${node.tpm.socketPath}`)
        .replaceAll(/\/(etc|var|run|usr)\//g, `${folder.path}/$1/`)
    for (const path of ['etc/sealwright', 'var/lib/sealwright', 'run/secrets', 'usr/lib/openbao/plugins']) {
      await mkdir(folder.join(path), { recursive: true, mode: 0o700 })
    }
    await writeFile(folder.join('etc/sealwright/node.yaml'), blockOf('yaml'), { mode: 0o600 })
    const { command, args } = programCommand('bootstrap-init')
    const program = [command, ...args].map(word => `'${word}'`).join(' ')
    await writeFile(folder.join('bootstrap-init'), `#!/bin/sh\nexec ${program} "$@"\n`, { mode: 0o700 })
    const printed = execFileSync('sh', ['-euc', blockOf('sh')], {
      env: { PATH: `${folder.path}:${dirname(command)}:${SEARCH_PATH}` },
      encoding: 'utf8',
    })
    const withoutSum = (text: string): string => text.replaceAll(/"[0-9a-f]{6,68}…?"/g, '"…"')
    expect(withoutSum(printed)).toBe(withoutSum(blockOf('text')))
    expect(existsSync(folder.join('run/secrets/bootstrap/seal-key'))).toBe(false)
  })

  it('names every option and every exit code of the program', async () => {
    const readme = readFileSync(join(repositoryRoot(), 'apps/bootstrap-init/README.md'), 'utf8')
    const { stdout, exitCode } = await runProgramToEnd('bootstrap-init', ['--help'])
    expect(exitCode).toBe(0)
    const options = [...stdout.matchAll(/--[a-z-]+/g)].map(([option]) => option)
    expect(options).toEqual(expect.arrayContaining(['--config', '--seal-key', '--tighten-modes', '--json']))
    for (const option of options) if (option !== '--help') expect(readme).toContain(`\`${option}`)
    const codes = [...(/Exit codes: (.*)/s.exec(stdout)?.[1] ?? '').matchAll(/(?:^|, ?\n?)(\d+) /g)]
    expect(codes.length).toBe(8)
    for (const [, code] of codes) expect(readme).toMatch(new RegExp(`^\\| ${code ?? ''} +\\|`, 'm'))
  })
})
