import { parseKmsConfig } from '@sealwright/kms-config'
import { factsOf, type KeyFacts } from './key-facts.ts'
import { stepsOf } from './run-rotation-plan.ts'
import { CONFIG, keyOf, NOW_MS } from './testing/stored.ts'

const MINUTE_MS = 60_000
const configPath = '/etc/sealwright/kms.yaml'

const KEYRING_CONFIG = parseKmsConfig(
  JSON.stringify({
    clusterId: 'lab',
    backend: { type: 'keyring', seals: [{ name: 'tpm', type: 'tpm', priority: 1 }] },
  }),
  'a test',
)

const plan = (key = keyOf(1), config = CONFIG, path = configPath) =>
  stepsOf(config, key, { nowMs: NOW_MS, configPath: path })
const commandsOf = (...args: Parameters<typeof plan>): readonly string[] =>
  plan(...args).flatMap(({ commands }) => commands)

describe('the plan of a rotation', () => {
  it('leads from the only version to the next one', () => {
    expect(commandsOf()).toEqual([
      'etcdctl snapshot save etcd-before-rotation.db',
      'bao operator raft snapshot save openbao-before-rotation.snap',
      'bao write -f transit/keys/kubernetes/rotate',
      expect.stringMatching(/^sealctl kms verify-key +# on each/),
      'kubectl get secrets --all-namespaces -o json | kubectl replace -f -',
      'sealctl kms verify-rotation --retire 1',
      'etcdctl snapshot save etcd-version-2.db',
      expect.stringMatching(/^sealctl kms verify-key +# on each/),
      'sealctl kms verify-rotation --retire 1',
      'bao write transit/keys/kubernetes/config min_decryption_version=2',
    ])
    expect(plan().every(({ isDone }) => !isDone)).toBe(true)
    expect(plan()[1]?.why).toContain('no node encrypts by it for 5 min')
    expect(plan()[2]?.what).toBe('Wait about 10 min, until every API server writes by version 2')
  })

  it('goes on with a rotation that is under way', () => {
    const waiting = keyOf(2, { newestAgeMs: MINUTE_MS })
    expect(plan(waiting).map(({ isDone }) => isDone)).toEqual([false, true, false, false, false, false, false])
    expect(plan(waiting)[0]).toMatchObject({
      what: expect.stringContaining('from before version 2') as string,
      commands: [],
    })
    expect(plan(waiting)[1]?.why).toBe('No node encrypts by it before 2026-01-02T03:08:05.000Z.')
    // Made a minute ago: five until it is active, and 4 min 30 s until every API server has followed.
    expect(plan(waiting)[2]?.what).toBe(
      'Wait until 2026-01-02T03:12:35.000Z, when every API server writes by version 2',
    )
    expect(plan(keyOf(2)).map(({ isDone }) => isDone)).toEqual([false, true, true, false, false, false, false])
  })

  it('retires nothing before every node and etcd were looked at again, whatever has the key', () => {
    for (const config of [CONFIG, KEYRING_CONFIG]) {
      const last = plan(keyOf(2), config).at(-1)
      expect(last?.why).toMatch(/^Only when the plugin of EVERY node has named version 2 for 3 min, and the look/)
      const [seen, looked, raised] = last?.commands.filter(command => !command.startsWith('export ')) ?? []
      expect([seen, looked]).toEqual([
        expect.stringMatching(
          /^sealctl kms verify-key +# on each control-plane node: the plugin encrypts by version 2$/,
        ),
        expect.stringMatching(/^sealctl kms verify-rotation --retire 1( --output rotation-1.json)?$/),
      ])
      expect(raised).toMatch(/min_decryption_version=2$|^sealctl kms keyring retire 1 --verified rotation-1.json$/)
    }
  })

  it('warns of backups that need the old version', () => {
    const words = plan(keyOf(3)).map(({ why }) => why)
    expect(words[0]).toBe('A backup of etcd from now needs version 2 for as long as you keep it.')
    expect(words[5]).toContain('Older backups of etcd cannot be read without version 2')
  })

  it('names the configuration, mount and namespace that are not the usual ones', () => {
    if (CONFIG.backend.type !== 'transit') throw new Error('it is a transit key')
    const config = { ...CONFIG, backend: { ...CONFIG.backend, mountPath: '/team/t/', namespace: 'team' } }
    const commands = commandsOf(keyOf(1), config, '/other.yaml')
    expect(commands).toContain('export BAO_NAMESPACE=team')
    expect(commands).toContain('bao write -f team/t/keys/kubernetes/rotate')
    expect(commands).toContain('sealctl kms verify-rotation --config /other.yaml --retire 1')
  })

  describe('of a keyring', () => {
    const config = KEYRING_CONFIG

    it('has its own commands, and asks nothing of OpenBao', () => {
      const commands = commandsOf(keyOf(1), config, '/other.yaml')
      expect(commands).toEqual([
        'etcdctl snapshot save etcd-before-rotation.db',
        expect.stringMatching(
          /^sealctl kms keyring export --config \/other.yaml keyring-before-version-2.bin +# keep it off/,
        ),
        'sealctl kms keyring rotate --config /other.yaml',
        'sealctl kms keyring export --config /other.yaml keyring-version-2.bin',
        expect.stringMatching(
          /^sealctl kms keyring import --config \/other.yaml keyring-version-2.bin +# on each other/,
        ),
        expect.stringMatching(/^sealctl kms verify-key /),
        'kubectl get secrets --all-namespaces -o json | kubectl replace -f -',
        'sealctl kms verify-rotation --config /other.yaml --retire 1',
        'etcdctl snapshot save etcd-version-2.db',
        expect.stringMatching(
          /^sealctl kms keyring export --config \/other.yaml keyring-with-version-2.bin +# keep it off/,
        ),
        expect.stringMatching(/^sealctl kms verify-key /),
        'sealctl kms verify-rotation --config /other.yaml --retire 1 --output rotation-1.json',
        'sealctl kms keyring retire --config /other.yaml 1 --verified rotation-1.json',
        expect.stringMatching(/^# start the API server of this node anew/),
        'sealctl kms keyring export --config /other.yaml keyring-retired-1.bin',
        expect.stringMatching(/^sealctl kms keyring import .* keyring-retired-1.bin --accept-retired +# on each other/),
      ])
    })

    it('retires the newest version that still decrypts, where later ones are retired already', () => {
      const { versions, ...key } = keyOf(4)
      const [first, second, third, newest] = versions
      if (second === undefined || third === undefined || newest === undefined) throw new TypeError('there are four')
      const restored: KeyFacts = { ...key, versions: [first, second, { ...third, phase: 'retired' }, newest] }
      const commands = commandsOf(restored, KEYRING_CONFIG)
      expect(
        commands.filter(command => command.includes('retire')).map(command => command.split(' #')[0]?.trim()),
      ).toEqual([
        'sealctl kms verify-rotation --retire 2',
        'sealctl kms verify-rotation --retire 2 --output rotation-2.json',
        'sealctl kms keyring retire 2 --verified rotation-2.json',
        'sealctl kms keyring export keyring-retired-2.bin',
        'sealctl kms keyring import keyring-retired-2.bin --accept-retired',
      ])
    })

    it('never says that the other nodes have a version: it sees this one alone', () => {
      const bring = plan(keyOf(2), config).find(({ what }) => what.startsWith('Bring version 2 to every other'))
      expect(bring).toMatchObject({ isDone: false, why: expect.stringContaining('KMS_KEY_ID_UNKNOWN') as string })
    })

    it('counts the hour in which a version is handed out', () => {
      const steps = plan(keyOf(1), config)
      expect(steps[1]?.why).toContain('no node encrypts by it for 65 min')
      expect(steps[3]?.what).toBe('Wait about 70 min, until every API server writes by version 2')
    })
  })
})

describe('the facts of a key', () => {
  it('are none where no version may both encrypt and decrypt', () => {
    const version = { version: 1, lineage: new Uint8Array(16), createdAtMs: 0 }
    const observation = { versions: [version], oldestDecryptable: 2, oldestEncryptable: 0 }
    expect(() => factsOf(CONFIG, observation, NOW_MS)).toThrow(
      expect.objectContaining({ code: 'KMS_COMMAND_NO_ACTIVE_VERSION' }) as Error,
    )
  })
})
