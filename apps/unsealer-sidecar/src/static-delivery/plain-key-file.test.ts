import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '@sealwright/secret'
import { placeUnsafePlainKeyFile, type UnsafePlainKeyFileOptions } from './plain-key-file.ts'

const KEY = Buffer.alloc(32, 0xa7)
const signal = new AbortController().signal
const keyNow = (): Promise<Secret> => Promise.resolve(new Secret(Uint8Array.from(KEY)))

/** A folder of its own on the tmpfs that every Linux has. */
async function memoryFolder() {
  const path = await mkdtemp('/dev/shm/sw-')
  const options: UnsafePlainKeyFileOptions = {
    directory: join(path, 'seal'),
    fileName: 'openbao.env',
    current: 'k2',
    unwrapKey: keyNow,
    signal,
  }
  return {
    options,
    filePath: join(path, 'seal/openbao.env'),
    [Symbol.dispose]: () => {
      rmSync(path, { recursive: true })
    },
  }
}

describe('the plain key file', () => {
  it('is what a shell reads, is ours alone, and is gone when it is disposed of', async () => {
    using memory = await memoryFolder()
    {
      await using placed = await placeUnsafePlainKeyFile(memory.options)
      expect(placed).toBeDefined()
      expect(readFileSync(memory.filePath, 'utf8')).toBe(
        `BAO_STATIC_SEAL_CURRENT_KEY_ID=k2\nBAO_STATIC_SEAL_CURRENT_KEY=${KEY.toString('hex')}\n`,
      )
      expect(statSync(memory.filePath).mode & 0o777).toBe(0o600)
      const command = `set -a; . ${memory.filePath}; set +a; env`
      const shell = spawnSync('sh', ['-c', command], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } })
      expect(shell.stdout).toContain(`BAO_STATIC_SEAL_CURRENT_KEY=${KEY.toString('hex')}\n`)
      expect(readdirSync(memory.options.directory)).toEqual(['openbao.env'])
    }
    expect(readdirSync(memory.options.directory)).toEqual([])
  })

  it('names the previous key too during a rotation, and is readable by a group that is given', async () => {
    using memory = await memoryFolder()
    const unwrapKey = (keyId: string) => Promise.resolve(new Secret(new Uint8Array(32).fill(keyId === 'k2' ? 2 : 1)))
    const groupId = process.getgid?.() ?? 0
    await using placed = await placeUnsafePlainKeyFile({ ...memory.options, previous: 'k1', groupId, unwrapKey })
    expect(placed).toBeDefined()
    expect(readFileSync(memory.filePath, 'utf8').trimEnd().split('\n')).toEqual([
      'BAO_STATIC_SEAL_CURRENT_KEY_ID=k2',
      `BAO_STATIC_SEAL_CURRENT_KEY=${'02'.repeat(32)}`,
      'BAO_STATIC_SEAL_PREVIOUS_KEY_ID=k1',
      `BAO_STATIC_SEAL_PREVIOUS_KEY=${'01'.repeat(32)}`,
    ])
    expect(statSync(memory.filePath).mode & 0o777).toBe(0o640)
  })

  it('that a killed agent left is overwritten and replaced', async () => {
    using memory = await memoryFolder()
    mkdirSync(memory.options.directory, { mode: 0o700 })
    writeFileSync(memory.filePath, 'BAO_STATIC_SEAL_CURRENT_KEY=old\n')
    writeFileSync(`${memory.options.directory}/.openbao.env.next`, 'half')
    await using placed = await placeUnsafePlainKeyFile(memory.options)
    expect(placed).toBeDefined()
    expect(readdirSync(memory.options.directory)).toEqual(['openbao.env'])
    expect(readFileSync(memory.filePath, 'utf8')).not.toContain('old')
  })

  it('never lies on a disk: STATIC_DELIVERY_NOT_IN_MEMORY', async () => {
    const directory = join(__dirname, '../../dist', `plain-key-${process.pid}`)
    let asked = 0
    const unwrapKey = () => {
      asked += 1
      return keyNow()
    }
    using memory = await memoryFolder()
    try {
      await expect(placeUnsafePlainKeyFile({ ...memory.options, directory, unwrapKey })).rejects.toMatchObject({
        code: 'STATIC_DELIVERY_NOT_IN_MEMORY',
      })
      expect(readdirSync(directory)).toEqual([])
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
    expect(asked).toBe(0)
  })

  it('takes the place of nothing that is not ours: STATIC_DELIVERY_FOREIGN_FILE', async () => {
    using memory = await memoryFolder()
    mkdirSync(memory.options.directory, { mode: 0o700 })
    symlinkSync('/dev/null', memory.filePath)
    await expect(placeUnsafePlainKeyFile(memory.options)).rejects.toMatchObject({
      code: 'STATIC_DELIVERY_FOREIGN_FILE',
    })
  })

  it.each<readonly [string, Partial<UnsafePlainKeyFileOptions>]>([
    ['STATIC_DELIVERY_NAME_INVALID', { current: '$(reboot)' }],
    ['STATIC_DELIVERY_NAME_INVALID', { previous: 'k 1' }],
    ['STATIC_DELIVERY_NAME_INVALID', { previous: 'k2' }],
    ['STATIC_DELIVERY_NAME_INVALID', { fileName: '../x' }],
    ['STATIC_DELIVERY_KEY_UNKNOWN', { unwrapKey: () => Promise.resolve(undefined) }],
    ['STATIC_DELIVERY_KEY_LENGTH', { unwrapKey: () => Promise.resolve(new Secret(new Uint8Array(64))) }],
  ])('is not written: %s', async (code, change) => {
    using memory = await memoryFolder()
    await expect(placeUnsafePlainKeyFile({ ...memory.options, ...change })).rejects.toMatchObject({ code })
    expect(existsSync(memory.filePath)).toBe(false)
  })
})
