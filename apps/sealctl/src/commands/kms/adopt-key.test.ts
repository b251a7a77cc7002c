import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { encodeState, type KmsState, parseState } from '@sealwright/kms-v2'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { runHere } from '../../testing/run-here.ts'

const STATE: KmsState = {
  ...{ provider: 'transit', clusterId: 'lab' },
  life: {
    versions: [
      { version: 1, lineage: new Uint8Array(16).fill(1), createdAtMs: 0, sample: null, phase: 'retiring' },
      {
        version: 2,
        lineage: new Uint8Array(16).fill(2),
        createdAtMs: 1_000,
        sample: Uint8Array.of(7),
        phase: 'active',
      },
    ],
    ...{ former: [], stableObservations: 3 },
  },
}

let folder: TemporaryFolder
let statePath: string

beforeEach(async () => {
  folder = await temporaryFolder()
  statePath = folder.join('state/kms-state.json')
  mkdirSync(folder.join('state'), { mode: 0o700 })
  writeFileSync(statePath, encodeState(STATE), { mode: 0o600 })
  const backend = {
    ...{ type: 'transit', addresses: ['https://127.0.0.1:1'], keyName: 'k' },
    auth: { method: 'token', tokenFile: '/nowhere' },
  }
  const paths = {
    stateDirectory: folder.join('state'),
    socket: { path: folder.join('kms.sock') },
    statusSocket: folder.join('status.sock'),
  }
  writeFileSync(folder.join('kms.yaml'), JSON.stringify({ clusterId: 'lab', backend, ...paths }), { mode: 0o600 })
})

afterEach(async () => {
  await folder.remove()
})

const adopt = (...args: readonly string[]) =>
  runHere(['kms', 'adopt-key', ...args, '--config', folder.join('kms.yaml')])
const remembered = () => parseState(readFileSync(statePath, 'utf8'))

describe('sealctl kms adopt-key', () => {
  it('only shows what would be given up, without --yes', async () => {
    const { exitCode, stdout } = await adopt()
    expect(exitCode).toBe(5)
    expect(stdout).toMatch(/^2 {2,}1970-01-01T00:00:01\.000Z {2}sealwright\.v1\.[\w-]{43}$/m)
    expect(stdout).toContain('Nothing was changed')
    expect(remembered()).toEqual(STATE)
    expect(readdirSync(folder.join('state'))).toEqual(['kms-state.json'])
  })

  it('gives all versions up, and keeps the file as it was', async () => {
    const { exitCode, stdout } = await adopt('--yes', '--json')
    expect(exitCode).toBe(0)
    const { keptAs, givenUp } = JSON.parse(stdout) as { keptAs: string; givenUp: readonly unknown[] }
    expect(givenUp).toHaveLength(2)
    expect(keptAs).toMatch(/kms-state\.json\.before-adoption-\d{8}T\d{6}Z$/)
    expect(parseState(readFileSync(keptAs, 'utf8'))).toEqual(STATE)
    expect(remembered().life.versions).toEqual([])
    expect(remembered().life.former.map(({ version, sample }) => [version, sample])).toEqual([
      [1, null],
      [2, Uint8Array.of(7)],
    ])
    expect(statSync(statePath).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder.join('state'))).toHaveLength(2)
  })

  it.each(['kms.sock', 'status.sock'])('changes nothing while the plugin runs (%s)', async name => {
    const server = createServer(socket => socket.destroy())
    await new Promise<void>(resolve => {
      server.listen(folder.join(name), resolve)
    })
    try {
      const { exitCode, stderr } = await adopt('--yes')
      expect(exitCode).toBe(4)
      expect(stderr).toContain('KMS_COMMAND_PLUGIN_RUNS')
      expect(remembered()).toEqual(STATE)
    } finally {
      server.close()
    }
  })

  it('does nothing where no key is remembered, or it was given up already', async () => {
    await adopt('--yes')
    const again = await adopt('--yes')
    expect(again.exitCode).toBe(4)
    expect(again.stderr).toContain('KMS_COMMAND_NOTHING_TO_ADOPT')
    writeFileSync(folder.join('kms.yaml'), readFileSync(folder.join('kms.yaml'), 'utf8').replace('/state"', '/none"'))
    expect((await adopt('--yes')).stderr).toContain('KMS_COMMAND_NOTHING_TO_ADOPT')
  })

  it.each<[string, () => void]>([
    [
      'a link',
      () => {
        renameSync(statePath, folder.join('elsewhere'))
        symlinkSync(folder.join('elsewhere'), statePath)
      },
    ],
    [
      'open to its group',
      () => {
        chmodSync(statePath, 0o660)
      },
    ],
    [
      'in a folder that others may write',
      () => {
        chmodSync(folder.join('state'), 0o777)
      },
    ],
  ])('believes no state that is %s, and leaves it alone', async (_what, harm) => {
    harm()
    const { exitCode, stderr } = await adopt('--yes')
    expect(exitCode).toBe(1)
    expect(stderr).toContain('KMS_COMMAND_STATE_UNUSABLE')
    expect(stderr).toContain('chmod go-w')
    expect(remembered()).toEqual(STATE)
    expect(readdirSync(folder.join('state'))).toEqual(['kms-state.json'])
  })

  it('writes the new state for the user whom the old one belongs to, as the folder does', async () => {
    // Only root can give something away: others have their own.
    const userId = process.geteuid?.() === 0 ? 12_345 : (process.geteuid?.() ?? -1)
    for (const path of [folder.join('state'), statePath]) chownSync(path, userId, -1)
    expect((await adopt('--yes')).exitCode).toBe(0)
    expect([statSync(statePath).uid, statSync(statePath).mode & 0o777]).toEqual([userId, 0o600])
    expect(remembered().life.versions).toEqual([])
  })

  it('leaves alone what it cannot read', async () => {
    writeFileSync(statePath, '{')
    const { exitCode, stderr } = await adopt('--yes')
    expect(exitCode).toBe(1)
    expect(stderr).toContain('KMS_COMMAND_STATE_UNUSABLE')
    expect(readFileSync(statePath, 'utf8')).toBe('{')
  })
})
