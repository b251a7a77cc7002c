import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readReadmeExamples } from '@sealwright/testing-checks'
import { createKeyring, encodeKeyring, type OpenKeyring } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type SealFailure } from '@sealwright/unseal'
import { classifySealFailure } from './classify.ts'
import { configuredSeals, openThrough } from './node-seals.ts'
import { readStoredKeyring } from './store.ts'
import { NO_PROGRAMS } from './testing/tpm-seals.ts'

const { signal } = new AbortController()
const programs = NO_PROGRAMS

async function example(text: string, failures: SealFailure[]): Promise<OpenKeyring | undefined> {
  // README
  const config = parseNodeConfig(text, 'node.yaml')
  const keyring = await readStoredKeyring(config.store)
  for (const seal of configuredSeals(config, programs).filter(({ disabled }) => !disabled)) {
    try {
      return await openThrough(seal, keyring, signal)
    } catch (error) {
      failures.push(classifySealFailure(error))
    }
  }
  // end
  return undefined
}

describe('the example in the README', () => {
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

  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('opens by the second seal when the first has no record', async () => {
    const store = folder.join('seal')
    const tpm = { socket: swtpm.socketPath }
    const seals = ['first', 'tpm'].map((name, index) => ({ name, type: 'tpm', priority: index + 1, tpm }))
    const text = JSON.stringify({ store, seals })
    const [, seal] = configuredSeals(parseNodeConfig(text, 'node.yaml'), programs)
    const keyring = await seal?.withLocalMember({ knownIn: undefined, signal }, member =>
      createKeyring({
        sealName: 'tpm',
        member,
        method: 'tpm-sealed',
        label: 'node',
        sealKey: new Secret(Uint8Array.from(randomBytes(32))),
        now: Date.now,
        randomBytes,
        signal,
      }),
    )
    if (keyring === undefined) throw new Error('the second seal was configured')
    await mkdir(store, { mode: 0o700 })
    await writeFile(join(store, 'keyring'), encodeKeyring(keyring), { mode: 0o600 })
    const failures: SealFailure[] = []
    const opened = await example(text, failures)
    expect(opened?.keyId).toBe(keyring.generations[0]?.keyId)
    expect(failures).toMatchObject([{ code: 'KEYRING_NO_RECORD', kind: 'permanent' }])
  })
})
