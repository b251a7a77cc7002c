import { type KeyLife, type KeyLook, lookAtKey } from '@sealwright/kms-v2'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import {
  backendConfig,
  CLUSTER,
  initialised,
  runningBackend,
  type Running,
  signal,
  tpmFields,
} from './testing/keyring-rig.ts'

const POLICY = { stableObservations: 2, activationDelayMs: 300_000 }

let folder: TemporaryFolder
let swtpm: Swtpm
let backend: Running

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  const config = backendConfig(folder.join('store'), [tpmFields(swtpm.socketPath)])
  await initialised(config)
  backend = runningBackend(config)
})

afterEach(async () => {
  await backend[Symbol.asyncDispose]()
  await swtpm.stop()
  await folder.remove()
})

async function look(known: KeyLife | null): Promise<KeyLook> {
  const newPlaintext = () => new Secret(randomKeyBytes(32))
  const options = { backend, clusterId: CLUSTER, policy: POLICY, nowMs: Date.now(), turn: 0, newPlaintext }
  return await lookAtKey(known, options, { signal })
}

describe('a look at the key of a keyring', () => {
  it('takes a sample, by which the key is known again', async () => {
    const { life } = await look(null)
    const [version] = life.versions
    const made = version?.sample ?? null
    if (version === undefined || made === null) throw new Error('no sample was taken')
    const { byteLength } = made
    expect(byteLength).toBeLessThan(200)
    expect(await look(life)).toMatchObject({ failure: null, life: { trouble: null } })

    const sample = Uint8Array.from(made, (byte, index) => (index === byteLength - 1 ? byte ^ 1 : byte))
    const other = await look({ ...life, versions: [{ ...version, sample }] })
    expect(other.life.trouble).toMatchObject({ kind: 'replaced', version: 1 })
  })
})
