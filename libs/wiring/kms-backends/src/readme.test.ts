import { type KeyringBackendConfig } from '@sealwright/kms-config'
import { Secret } from '@sealwright/secret'
import { readReadmeExamples } from '@sealwright/testing-checks'
import { startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import { keyringBackend } from './keyring-backend.ts'
import { type KeyringEvent } from './keyring-events.ts'
import { backendConfig, initialised, PROGRAMS, signal, tpmFields } from './testing/keyring-rig.ts'

const { pkcs11Program } = PROGRAMS

async function example(
  config: KeyringBackendConfig,
  plaintext: Secret,
  associatedData: Uint8Array,
  onKeyringEvent: (event: KeyringEvent) => void,
): Promise<Secret> {
  // README
  await using backend = keyringBackend(config, { pkcs11Program, onKeyringEvent })
  const { versions } = await backend.observe({ signal })
  const newest = versions.at(-1)?.version ?? 1
  const wrapped = await backend.encrypt({ version: newest, plaintext, associatedData }, { signal })
  return await backend.decrypt({ version: newest, wrapped, associatedData }, { signal })
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('encrypts and decrypts', async () => {
    const folder = await temporaryFolder()
    const swtpm = await startSwtpm({ directory: folder.path })
    try {
      const config = backendConfig(folder.join('store'), [tpmFields(swtpm.socketPath)])
      await initialised(config)
      const told: KeyringEvent[] = []
      using plaintext = new Secret(Uint8Array.of(1, 2, 3))
      using decrypted = await example(config, plaintext, Uint8Array.of(4), event => told.push(event))
      expect(decrypted.equals(plaintext)).toBe(true)
      expect(told).toMatchObject([{ kind: 'opened', sealName: 'tpm' }])
    } finally {
      await swtpm.stop()
      await folder.remove()
    }
  })
})
