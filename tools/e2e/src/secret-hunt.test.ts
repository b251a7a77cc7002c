import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { hkdfSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repositoryRoot } from '@sealwright/testing-rig'
import { createHuntedLab, type HuntedLab, kekOf } from './hunted-lab.ts'
import { statusOf } from './node-health.ts'
import { listeningTcpPorts } from './listening-ports.ts'
import { processesOf, searchFor } from './secret-search.ts'
import { testScope } from './test-scope.ts'

const PROBES = 20

const scope = testScope()

describe('the search itself', () => {
  it('finds a planted secret in each form, in files, arguments, environment and memory', async () => {
    const { folder } = scope
    const secret = randomBytes(32)
    const search = searchFor(secret)
    expect(search.needles.length).toBeGreaterThan(60)
    for (const { form, bytes } of search.needles) {
      await writeFile(folder.join('planted'), Buffer.concat([randomBytes(100_001), bytes, randomBytes(1_000)]))
      expect(search.files(folder.path)).toContainEqual(expect.stringContaining(form))
    }
    for (const before of [0, 1, 2]) {
      const text = Buffer.concat([randomBytes(before), secret, randomBytes(7)]).toString('base64')
      expect(search.bytes('', Buffer.from(text))).toContainEqual(expect.stringMatching(/base64/))
    }

    // It gets the bytes by a pipe, and keeps them raw, as `Secret` does, and as a string, as it must not.
    const keep = `process.stdin.once('data', bytes => {
      globalThis.kept = new Uint8Array(new ArrayBuffer(32)); globalThis.kept.set(bytes)
      globalThis.text = bytes.toString('base64'); bytes.fill(0); process.stdout.write('kept')
    })`
    const child = spawn(process.execPath, ['-e', keep, secret.toString('hex')], {
      env: { PLANTED: secret.toString('base64url') },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      child.stdin.write(secret)
      await once(child.stdout, 'data')
      const pid = child.pid ?? 0
      const table = search.processTable().filter(place => place.includes(`of ${pid}: `))
      expect(table).toContainEqual(expect.stringContaining('hex, bytes 0 to 7'))
      expect(table).toContainEqual(expect.stringMatching(/base64(url)? at alignment 0, from character 0/))
      const found = search.memory(pid).join('\n')
      for (const form of ['raw, bytes 0 to 7', 'raw, bytes 24 to 31', 'hex, bytes 8 to 15', 'at alignment 0, from']) {
        expect(found).toContain(form)
      }
      expect(searchFor(randomBytes(32)).memory(pid)).toEqual([])
    } finally {
      child.kill('SIGKILL')
    }
  })
})

describe('a finished lab', () => {
  let lab: HuntedLab

  beforeEach(async () => {
    lab = await createHuntedLab(scope)
  })

  it('holds its seal key nowhere: not on the TPM bus, in memory, arguments, environment, logs or files', async () => {
    const sinceMs = Date.now()
    const { folder } = scope
    const { cluster, first } = lab
    const bootstrapFile = join(cluster.sealKeyPath, 'seal-key')
    const sealKey = Buffer.from(readFileSync(bootstrapFile, 'latin1'), 'base64')
    const search = searchFor(sealKey)
    const searchAll = (): readonly string[] => {
      const pids = processesOf(folder.path)
      // TPM, agent, connector and OpenBao of each node.
      expect(pids.length).toBeGreaterThanOrEqual(4 * cluster.nodes.length)
      return [
        ...lab.tpmTraffic().flatMap(bytes => search.bytes('TPM traffic', bytes)),
        ...pids.flatMap(pid => search.memory(pid)),
        ...search.processTable(),
        ...search.files(folder.path),
        ...search.files(tmpdir(), { sinceMs }),
        ...search.files(repositoryRoot(), { sinceMs, skip: ['node_modules', '.git'] }),
      ]
    }

    await lab.bootstrap()
    const places = search.files(folder.path).map(found => found.slice(0, found.lastIndexOf(': ')))
    expect([...new Set(places)]).toEqual([bootstrapFile])
    await cluster.destroySealKey()
    await lab.initialise()
    expect(searchAll()).toEqual([])

    await lab.losePower()
    await lab.takeSnapshot(folder.join('raft.snapshot'))
    for (const { node } of cluster.nodes) {
      // A debugger would be one more way to read memory.
      node.agent().kill('SIGUSR1')
      expect(await node.sealctl('status')).toMatchObject({ exitCode: 0 })
      expect(listeningTcpPorts(node.agent().pid)).toEqual([])
    }
    for (let probe = 0; probe < PROBES; probe += 1) await first.node.sealctl('status')
    expect(lab.countUnseals()).toBeGreaterThan(PROBES)
    const { keyring: { clusterId = '' } = {} } = await statusOf(first.node)
    expect(searchAll()).toEqual([])

    for (const { node } of cluster.nodes) {
      // A KEK opens a stored record: for somebody who has both, it is as good as the seal key.
      expect(searchFor(await kekOf(node)).memory(node.agent().pid)).toEqual([])
    }
    // Was it looked for where it could have been? What an agent does hold is found.
    const salt = Buffer.from(clusterId, 'hex')
    const blobKey = hkdfSync('sha256', sealKey, salt, 'sealwright keyring v1 blob key', sealKey.length)
    expect(searchFor(new Uint8Array(blobKey)).memory(first.node.agent().pid)).toContainEqual(
      expect.stringContaining('raw, bytes 0 to 7'),
    )
  })
})
