import { encodeState, type KmsState, MAX_STATE_BYTES } from '@sealwright/kms-v2'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { umask } from 'node:process'
import { kmsStatePath, readKmsState, type StateTrust, writeKmsState } from './index.ts'

const STATE: KmsState = {
  ...{ provider: 'transit', clusterId: 'lab' },
  life: {
    versions: [
      {
        ...{ version: 1, lineage: new Uint8Array(16).fill(1), createdAtMs: 0 },
        ...{ sample: Uint8Array.of(1, 2), phase: 'active' as const },
      },
    ],
    ...{ former: [], stableObservations: 2 },
  },
}
const PLUGIN_USER = 12_345
const STRANGER = 65_534
const isRoot = process.geteuid?.() === 0

let parent: TemporaryFolder
let directory: string
let path: string

beforeEach(async () => {
  parent = await temporaryFolder()
  directory = parent.join('state')
  path = kmsStatePath(directory)
})

afterEach(async () => {
  await parent.remove()
})

function layState(): void {
  mkdirSync(directory, { mode: 0o700 })
  writeFileSync(path, encodeState(STATE), { mode: 0o600 })
}

/** Only root can give something away. */
const givenAway: [string, () => unknown][] = isRoot
  ? [
      [
        'belongs to a stranger',
        () => {
          chownSync(path, STRANGER, STRANGER)
        },
      ],
      [
        'belongs to root in the folder of a user, where a stranger may write it',
        () => {
          chownSync(directory, PLUGIN_USER, -1)
          chmodSync(path, 0o602)
        },
      ],
    ]
  : []

describe('the file in which a node remembers its key', () => {
  it('is not there at first, and is read as it was written', async () => {
    expect(await readKmsState(directory)).toBeNull()
    await writeKmsState(directory, STATE)
    expect(await readKmsState(directory)).toEqual(STATE)
    expect(readdirSync(directory)).toEqual(['kms-state.json'])
    expect([statSync(directory).mode & 0o777, statSync(path).mode & 0o777]).toEqual([0o700, 0o600])
  })

  it('can be read again by its user alone, whatever the umask when its folder was made', async () => {
    const former = umask(0o177)
    try {
      await writeKmsState(directory, STATE)
    } finally {
      umask(former)
    }
    expect(statSync(directory).mode & 0o777).toBe(0o700)
  })

  it('is not there either where its folder is a file', async () => {
    writeFileSync(directory, '')
    expect(await readKmsState(directory)).toBeNull()
  })

  it('is not read at all if it is longer than a state can be', async () => {
    layState()
    truncateSync(path, MAX_STATE_BYTES + 1)
    await expect(readKmsState(directory)).rejects.toMatchObject({ code: 'KMS_STATE_MALFORMED' })
  })

  describe.each<[string, StateTrust]>([
    ['to the plugin', {}],
    ['to another program of its node', { ofFolderOwner: true }],
  ])('%s', (_whom, trust) => {
    it.each<[string, () => unknown]>([
      [
        'is a pipe',
        () => {
          remake(() => execFileSync('mkfifo', [path]))
        },
      ],
      [
        'is a folder',
        () => {
          remake(() => {
            mkdirSync(path)
          })
        },
      ],
      [
        'is a link to a device that never ends',
        () => {
          remake(() => {
            symlinkSync('/dev/zero', path)
          })
        },
      ],
      [
        'is a link to a good state',
        () => {
          remake(() => {
            writeFileSync(parent.join('good'), encodeState(STATE))
            symlinkSync(parent.join('good'), path)
          })
        },
      ],
      [
        'may be written by its group',
        () => {
          chmodSync(path, 0o660)
        },
      ],
      [
        'may be written by everybody',
        () => {
          chmodSync(path, 0o602)
        },
      ],
      [
        'lies in a folder that its group may write',
        () => {
          chmodSync(directory, 0o770)
        },
      ],
      [
        'lies in a folder that everybody may write',
        () => {
          chmodSync(directory, 0o1777)
        },
      ],
      ...givenAway,
    ])('is not safe if it %s', async (_what, harm) => {
      layState()
      harm()
      await expect(readKmsState(directory, trust)).rejects.toMatchObject({ code: 'KMS_STATE_UNSAFE' })
    })

    it('is not safe if it is a socket', async () => {
      mkdirSync(directory, { mode: 0o700 })
      const server = createServer()
      await new Promise<void>(resolve => server.listen(path, resolve))
      await expect(readKmsState(directory, trust)).rejects.toMatchObject({ code: 'KMS_STATE_UNSAFE' })
      await new Promise(resolve => server.close(resolve))
    })
  })

  if (isRoot) {
    it('may be of the user whom its folder belongs to, for who says so and nobody else', async () => {
      layState()
      chownSync(directory, PLUGIN_USER, -1)
      chownSync(path, PLUGIN_USER, -1)
      expect(await readKmsState(directory, { ofFolderOwner: true })).toEqual(STATE)
      await expect(readKmsState(directory)).rejects.toMatchObject({ code: 'KMS_STATE_UNSAFE' })
    })
  }

  it('is not written into a folder that others may write', async () => {
    mkdirSync(directory)
    chmodSync(directory, 0o777)
    await expect(writeKmsState(directory, STATE)).rejects.toMatchObject({ code: 'KMS_STATE_UNSAFE' })
    expect(readdirSync(directory)).toEqual([])
  })
})

/** Something else in its place. */
function remake(lay: () => unknown): void {
  execFileSync('rm', [path])
  lay()
}
